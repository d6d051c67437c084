"""What the experiments share: building a `VDIB` model, and the code's marginal.

Legend: B batch, T steps, N_y readout neurons.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch

from vdib.decoder import Decoder
from vdib.distillation import Teacher
from vdib.encoder import build_encoder
from vdib.estimator import Estimator
from vdib.lightning_modules import choices
from vdib.lightning_modules.choices import with_words
from vdib.lightning_modules.choosing import chosen, with_settings
from vdib.lightning_modules.penalties import penalties_of
from vdib.lightning_modules.trained_module import TrainedModule
from vdib.model import VDIB
from vdib.neurons.techniques import Techniques
from vdib.price import Price
from vdib.pruning import Pruning
from vdib.signal import Label, Signal, check_signal
from vdib.window import Window


@with_words
class VDIBModule(TrainedModule):
    """Trains a `VDIB` model; what is measured and drawn is the business of the experiment.

    Args:
        num_steps: T, steps of an example (taken from the data).
        input_shape: of one step's spikes (taken from the data).
        signal: what they are to become (taken from the data).
        neuron: of the hidden layers.
        neuron_settings: numbers of theirs, `{beta: 0.9}`.
        readout: how the readout fires.
        readout_settings: of a sampled readout tau_e, steps that its synapses remember, and whether
            its neurons feel their own spikes, `{memory_steps: 20, feedback: false}`.
        hidden: sizes of the dense hidden layers.
        conv: convolutional layers before them: channels (`16`: 5x5, pooled by 2), words such as
            `16c5` (5x5, not pooled), `16c5p1` (padded by 1), `2a` (sums over 2x2, a layer itself).
        num_readout: N_y, readout neurons.
        num_filters: K, synaptic filters of a sampled readout.
        decoder: a name, or a decoder class.
        decoder_settings: of a decoder that goes by name, `{target_true: 0.3}`.
        window: what the decoder sees of the spikes: every step, a temporal basis, or their rate.
        window_steps: tau_d; all T by default.
        num_basis: elements of the temporal basis.
        estimator: gradient through a sampled readout: a name, or an estimator class.
        credit: how the loss reaches the hidden layers.
        surrogate: derivative of deterministic spikes; the neuron's own by default.
        surrogate_settings: numbers of a surrogate that is chosen, `{alpha: 3.0}`.
        prior: q(y), against which the rate is measured.
        beta: nats of distortion that a nat of rate is worth (default: 0.01, for labels 0.0001).
        warmup: share of the training over which the price of a nat rises from 0 to beta.
        free_bits: bits of each neuron's rate, per sample or scored step, that are free in training.
        rho: firing probability per step that the prior and the readout start from.
        penalties: each with its weight, `{im_loss: 1, hidden_rate: {weight: 1, target: 0.02}}`.
        techniques: around hidden layers (`vdib.neurons.techniques`): `{norm: true, delays: 8,
            attention: 4, residual: add}`.
        prune: share of the encoder's weights to be zero by half of the training.
        teacher: of labels, an ordinary network (`vdib.distillation`), `{units: 256}`.
        optimizer: of all weights.
        lr: its peak learning rate.
        schedule: of the learning rates over a training.
        encoder_lr: the encoder's, where it is to differ.
        frozen_encoder: leave the encoder as it was drawn: the baseline.
        calibrate: scale freshly drawn weights on a batch, so that potentials are of the threshold's
            order; else they are as PyTorch draws them.
        encoder_gain: root mean square that calibrated readout potentials have, in widths of the
            threshold. A frozen encoder tells more at 4 to 10; a trained one finds its own.
        init_from: a run, or a checkpoint, whose weights to start from.
        seed: of the noise.

    Attributes:
        TAKES: settings that follow from the data.
        MEASURES: the kinds of signals that it is for.
        EVERY_STEP: whether every step is decoded.
    """

    TAKES: ClassVar[tuple[str, ...]] = ("num_steps", "input_shape", "signal")
    MEASURES: ClassVar[tuple[type[Signal], ...]] = (Signal,)
    EVERY_STEP: ClassVar[bool] = False

    def __init__(
        self,
        num_steps: int,
        input_shape: Sequence[int],
        signal: Signal,
        neuron: choices.NeuronName = "srm",
        neuron_settings: Mapping[str, Any] | None = None,
        readout: choices.ReadoutName = "sampled",
        readout_settings: Mapping[str, Any] | None = None,
        hidden: Sequence[int] = (600,),
        conv: Sequence[int | str] = (),
        num_readout: int = 256,
        num_filters: int = 8,
        decoder: choices.DecoderName | Callable[[Window, int, Signal], Decoder] = "mlp",
        decoder_settings: Mapping[str, Any] | None = None,
        window: choices.WindowName = "full",
        window_steps: int | None = None,
        num_basis: int = 6,
        estimator: choices.EstimatorName | Estimator = "straight_through",
        credit: choices.CreditName = "bptt",
        surrogate: choices.SurrogateName | None = None,
        surrogate_settings: Mapping[str, Any] | None = None,
        prior: choices.PriorName = "bernoulli",
        beta: float | None = None,
        warmup: float = 0.0,
        free_bits: float = 0.0,
        rho: float = 0.1,
        penalties: Mapping[str, Any] | None = None,
        techniques: Mapping[str, Any] | None = None,
        prune: float | None = None,
        teacher: Mapping[str, Any] | None = None,
        optimizer: choices.OptimizerName = "adam",
        lr: float = 2e-3,
        encoder_lr: float | None = None,
        schedule: choices.ScheduleName = "cosine",
        frozen_encoder: bool = False,
        calibrate: bool = True,
        encoder_gain: float = 1.0,
        init_from: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_signal(signal, self.MEASURES, type(self).__name__)
        if not lr > 0 or not (encoder_lr is None or encoder_lr >= 0):
            raise ValueError(f"lr and encoder_lr: got {lr} and {encoder_lr}, expected above 0")
        if not 0 < encoder_gain < math.inf:
            raise ValueError(f"encoder_gain: got {encoder_gain}, expected above 0")
        if encoder_gain != 1 and not calibrate:
            raise ValueError("encoder_gain: weights that are not calibrated have none")
        steps = num_steps if window_steps is None else window_steps
        if not 1 <= steps <= num_steps:
            raise ValueError(
                f"window_steps: got {steps}, expected 1 to {num_steps}, the steps of the data"
            )
        slope = None
        if surrogate is not None:
            slope = chosen("surrogate", surrogate, choices.SURROGATES, surrogate_settings)
        elif surrogate_settings:
            raise ValueError("surrogate_settings: of which surrogate? choose one as well")
        encoder = build_encoder(
            tuple(input_shape),
            num_readout,
            hidden,
            conv,
            num_filters,
            chosen("neuron", neuron, choices.NEURONS, neuron_settings),
            slope,
            chosen("credit", credit, choices.CREDITS),
            seed,
            chosen("readout", readout, choices.READOUTS, readout_settings),
            with_settings("techniques", Techniques, techniques or {})(),
        )
        if frozen_encoder:  # else as the layers say: a neuron may hold a number fixed
            encoder.requires_grad_(False)
        if isinstance(decoder, str):
            decoder = chosen("decoder", decoder, choices.DECODERS, decoder_settings)
        if isinstance(estimator, str):
            estimator = chosen("estimator", estimator, choices.ESTIMATORS)(num_steps, num_readout)
        sees = chosen("window", window, choices.WINDOWS)(steps, num_basis)
        self.vdib = VDIB(
            encoder,
            decoder(sees, num_readout, signal),
            chosen("prior", prior, choices.PRIORS)(num_readout, rho),
            estimator,
            signal.beta if beta is None else beta,
            self.EVERY_STEP,
            *penalties_of(penalties or {}, len(encoder.layers)),
            Price(warmup, free_bits),
        )
        self.pruning = None if prune is None else Pruning(encoder, prune)
        if teacher is not None:
            check_signal(signal, (Label,), "a teacher")
            if self.EVERY_STEP:
                raise ValueError("a teacher knows one label a sequence, and here each step has one")
            make = with_settings("teacher", Teacher, teacher)
            self.teacher = make(math.prod(input_shape), signal.num_outputs)
        self.signal = signal
        self.rho = rho
        self.optimizer = chosen("optimizer", optimizer, choices.OPTIMIZERS)
        self.lr = lr
        self.encoder_lr = lr if encoder_lr is None else encoder_lr
        self.schedule = chosen("schedule", schedule, choices.SCHEDULES)
        self.calibrate = calibrate
        self.encoder_gain = encoder_gain
        self.seed = seed
        self.init_from = None if init_from is None else os.path.abspath(init_from)
        # Firing probabilities of the code averaged over the validation set, per neuron, and per
        # step but where every step is decoded: that has to fit sequences of any length.
        steps = 1 if self.EVERY_STEP else num_steps
        self.register_buffer("marginal", torch.full((steps, num_readout), rho))
