"""The published experiments, and how each is run here.

Settings live in the configs of the same experiments; here stands what is beside them: the published
figure and its source, what the original did differently, the baselines beside it, the folds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ACCURACIES = ("class_accuracy", "judge_accuracy")
"""Figures that are proportions of test examples, whose interval is Wilson's."""


@dataclass(frozen=True)
class Row:
    """One line of an experiment's table.

    Attributes:
        words: what is trained.
        args: of `vdib.fit`, but for the seed.
        figure: a key of the summary.
        published: the figure that was published for it, with its circumstances; empty for rows that
            are only ours.
        folds: arguments to add, one list a fold; the figure is the mean over them.
    """

    words: str
    args: Sequence[str]
    figure: str
    published: str = ""
    folds: Sequence[Sequence[str]] = ((),)


@dataclass(frozen=True)
class Experiment:
    """One published experiment.

    Attributes:
        title: whose, and of what.
        source: a URL.
        rows: of its table.
        ours: what is run here: the published settings, or what of them was cut.
        differs: what the original did differently.
        minutes: of one core that a seed takes, about.
    """

    title: str
    source: str
    rows: Sequence[Row]
    ours: str
    differs: str
    minutes: float = field(default=1.0)


_VDIB = "https://arxiv.org/abs/2106.01177"
_BLOBS = ["--config", "predictive_coding"]

EXPERIMENTS: Mapping[str, Experiment] = {
    "vdib-mnist": Experiment(
        "VDIB, MNIST to images",
        _VDIB,
        [
            Row(
                "time coding, MLP",
                ["--config", "mnist", "--data.coding", "time"],
                "judge_accuracy",
                "published code, 1,000 examples on one core: 0.24",
            ),
            Row(
                "rate decoding",
                ["--config", "mnist", "--data.coding", "time", "--model.window", "rate"],
                "judge_accuracy",
            ),
        ],
        "784-600-256, T = 30, beta 0.01, straight-through gradient, three epochs of 55,000 images.",
        "beta 0.001, divided by neurons and steps; score function with a baseline that all but "
        "cancels the signal; potentials of hidden neurons far outside the surrogate's window; the "
        "best epoch chosen on the test set; 0.53 CPU-s an example.",
        15,
    ),
    "vdib-mnist-dvs": Experiment(
        "VDIB, MNIST-DVS to images",
        _VDIB,
        [
            Row("temporal basis", ["--config", "mnist_dvs"], "judge_accuracy"),
            Row(
                "rate decoding",
                ["--config", "mnist_dvs", "--model.window", "rate"],
                "judge_accuracy",
            ),
        ],
        "1352-800-256, T = 80 steps of 25 ms; 20,000 recordings simulated by a camera that was "
        "fitted to real zeros 0001 to 0100, tested on 1,000 others of MNIST's test images: of the "
        "real data set only zeros were there.",
        "real recordings of all classes; one canonical image a class as the target; no figure that "
        "we could read is comparable.",
        40,
    ),
    "vdib-predictive-coding": Experiment(
        "VDIB, two drifting blobs",
        _VDIB,
        [
            Row(
                f"lag {lag:+d}, {window} window",
                [*_BLOBS, "--data.lag", str(lag), "--model.window", window],
                "nats_per_step",
                published,
            )
            for lag, published in ((0, "published code: 5.9"), (2, "published code: 6.0"))
            for window in ("full", "rate")
        ],
        "20 inputs, ten readout neurons, no hidden layer, beta 0.01, sequences of 100 steps.",
        "updates at every step with the sampled log-ratio; costs credit only the spikes of their "
        "own step; ends above the 5.35 nats of the uniform answer.",
        5,
    ),
    "snntorch-5": Experiment(
        "snnTorch, tutorial 5",
        "https://snntorch.readthedocs.io/en/latest/tutorials/tutorial_5.html",
        [
            Row(
                "784-1000-10, one epoch",
                ["--config", "lif_mnist"],
                "class_accuracy",
                "0.939, one run",
            )
        ],
        "the library's neurons (equal to `snntorch.Leaky` spike for spike), 429 batches of 128.",
        "468 batches: no image is held out for validation. The neuron and the surrogate printed in "
        "the tutorial are not those that the library runs.",
        3,
    ),
    "plif-mnist": Experiment(
        "PLIF, MNIST",
        "https://arxiv.org/abs/2007.05785",
        [
            Row(
                "32-32-256-10, six epochs",
                ["--config", "plif_mnist"],
                "class_accuracy",
                "0.9963, 128-128-2048-100, 1,024 epochs (from memory)",
            )
        ],
        "a narrow network: 32 channels, 256 units, a readout neuron a class, T = 8, six epochs of "
        "55,000 images, convolutions of 5x5 pooled by 2, no dropout.",
        "convolutions of 3x3, maximum pooling of spikes, dropout of 0.5 twice, ten neurons a "
        "class that vote.",
        12,
    ),
    "snnlstm-mnist": Experiment(
        "Spiking LSTM, sequential MNIST",
        "https://arxiv.org/abs/2007.04779",
        [
            Row(
                "200 spiking LSTM cells, 15 epochs",
                ["--config", "sequential_mnist"],
                "class_accuracy",
                "0.983, 2,000 epochs",
            ),
            Row(
                "an ordinary LSTM of the same size",
                ["--config", "sequential_mnist", "--model.neuron", "lstm"],
                "class_accuracy",
            ),
        ],
        "28 steps of 28 Poisson inputs, drawn anew in every epoch; one layer; the class is decoded "
        "from the spikes of all steps; Adam, 0.004 along a cosine; weights as PyTorch draws them; "
        "where the memory is clipped no gradient passes (gamma = 0).",
        "weights drawn from a standard normal distribution. The published script trains for 200 "
        "iterations, takes other derivatives than the paper, and adds the last step's error at "
        "every step, which is not its loss's gradient.",
        12,
    ),
}
