"""What the words of the command line stand for: of each part of a model, the names there are.

A line a choice: its name, the object, what it does. The command line's help, its errors and the
README's list are made from these tables. To offer a new part, write it and add its line here.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from vdib import penalty
from vdib.credit import BPTT, Credit, DirectFeedback, EProp
from vdib.datasets.digits import Digits
from vdib.datasets.event_folder import EventFolderSplits
from vdib.datasets.images import ImageSet
from vdib.datasets.mnist import MNIST
from vdib.datasets.mnist_dvs import MNISTDVSSplits
from vdib.datasets.nmnist import NMNISTSplits
from vdib.datasets.recording_splits import RecordingSplits
from vdib.datasets.spike_trains import SpikeTrainSplits
from vdib.datasets.tonic_set import TonicSplits
from vdib.decoder import CNNDecoder, Decoder, LogisticDecoder, MLPDecoder
from vdib.disarm import DisARM
from vdib.dynamics import surrogate
from vdib.dynamics.surrogate import Surrogate
from vdib.estimator import Estimator, LeaveOneOut, RelaxedBernoulli, ScoreFunction, StraightThrough
from vdib.first_spike import FirstSpikeDecoder
from vdib.handmade import CountDecoder
from vdib.lightning_modules.choosing import Choice, Choices
from vdib.lightning_modules.optimizers import Optimizing, adam, amsgrad, nadam
from vdib.lightning_modules.schedule import Schedule, constant, cosine
from vdib.membrane import MembraneDecoder
from vdib.network_prior import NetworkPrior
from vdib.neurons.layer import Neuron
from vdib.neurons.leaky import leaky
from vdib.neurons.lif import lif
from vdib.neurons.lstm import lstm
from vdib.neurons.plif import plif
from vdib.neurons.readout import Readout, sampled, threshold
from vdib.neurons.recurrent import recurrent_lif, recurrent_srm
from vdib.neurons.slayer import slayer
from vdib.neurons.spiking_lstm import spiking_lstm
from vdib.neurons.srm import srm
from vdib.penalty import Penalty
from vdib.prior import AutoregressivePrior, BernoulliPrior, MarginalPrior, Prior
from vdib.relax import Relax
from vdib.signal import Signal
from vdib.slayer_counts import SlayerCountDecoder
from vdib.state_prior import StatePrior
from vdib.van_rossum import VanRossumDecoder
from vdib.vimco import VIMCO
from vdib.window import BasisWindow, FullWindow, RateWindow, Window

Kind = TypeVar("Kind")

NEURONS: Choices[Neuron] = {
    "srm": Choice(srm, "spike response model: double-exponential synapses, refractoriness"),
    "lif": Choice(lif, "leaky integrate-and-fire, reset by subtraction"),
    "leaky": Choice(leaky, "the same as snnTorch has it: bias current, no gradient by the reset"),
    "slayer": Choice(slayer, "SRM with alpha kernels, no gradient by refractoriness (SLAYER)"),
    "plif": Choice(plif, "leaky with a learned time constant, decayed input, reset to zero"),
    "spiking_lstm": Choice(spiking_lstm, "LSTM cells whose gates and memory are 0 or 1"),
    "recurrent_srm": Choice(recurrent_srm, "SRM neurons that hear each other"),
    "recurrent_lif": Choice(recurrent_lif, "LIF neurons that hear each other"),
    "lstm": Choice(lstm, "an ordinary LSTM, whose outputs are no spikes: to compare with"),
}

READOUTS: Choices[Readout] = {
    "sampled": Choice(sampled, "stochastic SRM neurons, whose code has a rate"),
    "threshold": Choice(
        threshold, "deterministic, neurons like the hidden ones; the code has a length, no rate"
    ),
}

SURROGATES: Choices[Surrogate] = {
    "fast_sigmoid": Choice(surrogate.fast_sigmoid, "1 / (1 + 5 abs(v))^2 (SuperSpike)"),
    "arctan": Choice(surrogate.arctan, "a Cauchy density (snnTorch's default)"),
    "sigmoid": Choice(surrogate.sigmoid, "the logistic density"),
    "boxcar": Choice(surrogate.boxcar, "1 within 0.5 of the threshold"),
    "gaussian": Choice(surrogate.gaussian, "the normal density (spiking LSTM)"),
    "exponential": Choice(
        surrogate.exponential, "exp(-2 abs(v)), the escape-rate density of SLAYER"
    ),
}

CREDITS: Choices[type[Credit]] = {
    "bptt": Choice(BPTT, "back-propagation through time"),
    "eprop": Choice(EProp, "learning signals of the same step only; biased"),
    "dfa": Choice(DirectFeedback, "the readout's signal, projected at random; biased"),
}

ESTIMATORS: Choices[Callable[[int, int], Estimator]] = {
    "straight_through": Choice(
        lambda num_steps, num_readout: StraightThrough(),
        "the gradient of a spike is its probability's; biased",
    ),
    "relaxed": Choice(
        lambda num_steps, num_readout: RelaxedBernoulli(),
        "spikes are softened in training; biased",
    ),
    "leave_one_out": Choice(
        lambda num_steps, num_readout: LeaveOneOut(),
        "score function, four codes against each other; unbiased",
    ),
    "score": Choice(
        lambda num_steps, num_readout: ScoreFunction(num_steps),
        "score function of the paper, moving average; unbiased",
    ),
    "relax": Choice(Relax, "score function less a learned control variate (RELAX); unbiased"),
    "disarm": Choice(
        lambda num_steps, num_readout: DisARM(),
        "antithetic pairs of codes, where the readout has no feedback; unbiased",
    ),
    "vimco": Choice(
        lambda num_steps, num_readout: VIMCO(),
        "four codes under one bound, which tightens with their number; unbiased for that bound",
    ),
}

WINDOWS: Choices[Callable[[int, int], Window]] = {
    "full": Choice(lambda steps, num_basis: FullWindow(steps), "every step by itself"),
    "basis": Choice(BasisWindow, "a temporal basis whose first element is the sum"),
    "rate": Choice(lambda steps, num_basis: RateWindow(steps), "the spike count: rate decoding"),
}

DECODERS: Choices[Callable[[Window, int, Signal], Decoder]] = {
    "logistic": Choice(LogisticDecoder, "logistic regression"),
    "mlp": Choice(MLPDecoder, "hidden layers of rectified units"),
    "cnn": Choice(CNNDecoder, "two convolutions over time, then a dense layer"),
    "counts": Choice(CountDecoder, "labels, by hand: target spike counts (SLAYER)"),
    "slayer_counts": Choice(
        SlayerCountDecoder, "the same loss with SLAYER's published gradient, which is another"
    ),
    "van_rossum": Choice(VanRossumDecoder, "labels, by hand: filtered target trains (van Rossum)"),
    "membrane": Choice(MembraneDecoder, "labels, by hand: v at every step (snnTorch)"),
    "first_spike": Choice(FirstSpikeDecoder, "labels, by hand: who fires first, exactly"),
}

PRIORS: Choices[Callable[[int, float], Prior]] = {
    "bernoulli": Choice(
        lambda num_readout, rho: BernoulliPrior(rho), "independent spikes of probability rho"
    ),
    "marginal": Choice(MarginalPrior, "independent spikes, each neuron with its own probability"),
    "past": Choice(AutoregressivePrior, "spikes predicted from all neurons' past spikes"),
    "network": Choice(NetworkPrior, "the same by a network with a hidden layer"),
    "ordered": Choice(
        partial(NetworkPrior, ordered=True), "that, and neuron after neuron within a step"
    ),
    "states": Choice(StatePrior, "from past spikes and a hidden state inferred from them (HMM)"),
}

PENALTIES: Choices[Penalty] = {
    "hidden_spikes": Choice(penalty.hidden_spikes, "a nat per spike of a hidden layer"),
    "readout_spikes": Choice(penalty.readout_spikes, "a nat per spike of the readout"),
    "hidden_rate": Choice(penalty.hidden_rate, "firing rates of hidden layers, towards a target"),
    "im_loss": Choice(penalty.im_loss, "mean hidden potentials, towards the threshold"),
}

OPTIMIZERS: Choices[Optimizing] = {
    "adam": Choice(adam, "Adam"),
    "amsgrad": Choice(amsgrad, "Adam whose second moment never falls (SLAYER)"),
    "nadam": Choice(nadam, "Adam with Nesterov's momentum (SLAYER, later)"),
}

SCHEDULES: Choices[Schedule] = {
    "cosine": Choice(cosine, "from its peak to zero along a cosine"),
    "constant": Choice(constant, "as it is"),
}

IMAGE_SETS: Choices[Callable[[Literal["train", "validation", "test"]], ImageSet]] = {
    "digits": Choice(Digits, "5,000 digits that come along"),
    "mnist": Choice(MNIST, "all of MNIST"),
}

EVENT_SETS: Choices[type[RecordingSplits]] = {
    "NMNISTData": Choice(NMNISTSplits, "N-MNIST, real or simulated"),
    "MNISTDVSData": Choice(MNISTDVSSplits, "MNIST-DVS, real or simulated"),
    "EventFolderData": Choice(EventFolderSplits, "a folder of your own recordings"),
    "SpikeTrainData": Choice(SpikeTrainSplits, "a folder of your own spike trains"),
    "TonicData": Choice(TonicSplits, "a data set of tonic's, by its name"),
}


MODEL: Mapping[str, Choices[Any]] = {
    "neuron": NEURONS,
    "readout": READOUTS,
    "surrogate": SURROGATES,
    "credit": CREDITS,
    "estimator": ESTIMATORS,
    "window": WINDOWS,
    "decoder": DECODERS,
    "prior": PRIORS,
    "penalties": PENALTIES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
"""The settings of a model that are chosen by a word."""


def with_words(kind: type[Kind]) -> type[Kind]:
    """A class whose docstring, and so the command line's help, also says what the words mean."""
    lines = []
    for line in (kind.__doc__ or "").splitlines():
        lines.append(line)
        name = line.strip().split(":")[0]
        if name in MODEL:
            words = (f"`{word}`: {choice.words}" for word, choice in MODEL[name].items())
            lines.append(f"            {'; '.join(words)}.")
    kind.__doc__ = "\n".join(lines)
    return kind


def listing() -> str:
    """The words in a table, as in the README."""
    rows = [
        f"| `--model.{setting}` | `{word}` | {choice.words} |"
        for setting, choices in MODEL.items()
        for word, choice in choices.items()
    ]
    return "\n".join(["| setting | word | what it does |", "|---|---|---|", *rows])


if TYPE_CHECKING:  # which knows no types made of tables
    NeuronName: TypeAlias = str
    ReadoutName: TypeAlias = str
    SurrogateName: TypeAlias = str
    CreditName: TypeAlias = str
    EstimatorName: TypeAlias = str
    WindowName: TypeAlias = str
    DecoderName: TypeAlias = str
    PriorName: TypeAlias = str
    OptimizerName: TypeAlias = str
    ScheduleName: TypeAlias = str
    ImageSetName: TypeAlias = str
else:
    NeuronName = Literal[tuple(NEURONS)]
    ReadoutName = Literal[tuple(READOUTS)]
    SurrogateName = Literal[tuple(SURROGATES)]
    CreditName = Literal[tuple(CREDITS)]
    EstimatorName = Literal[tuple(ESTIMATORS)]
    WindowName = Literal[tuple(WINDOWS)]
    DecoderName = Literal[tuple(DECODERS)]
    PriorName = Literal[tuple(PRIORS)]
    OptimizerName = Literal[tuple(OPTIMIZERS)]
    ScheduleName = Literal[tuple(SCHEDULES)]
    ImageSetName = Literal[tuple(IMAGE_SETS)]
