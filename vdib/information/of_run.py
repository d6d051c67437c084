"""What the code of a finished run carries, from above and from below.

Sequences are those of the test split, or new ones where the input can be simulated. Priors are
fitted to codes of the first 2,000 training examples, that of training from where it stands and
others from the start, stopped on codes of 400 validation examples, and read on neither.

Legend: N sequences, T steps, N_y readout neurons.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vdib.information.bounds import SEQUENCES, ceiling, drawn, filters, of_pairs
from vdib.information.intervals import mean
from vdib.information.processes import Blobs, simulate
from vdib.information.rows import Report, Row, Section, combined
from vdib.information.splits import MOST_INPUTS, between_populations, over_lags
from vdib.information.told import told
from vdib.lightning_modules.choices import PRIORS
from vdib.lightning_modules.predictive_coding.data import BlobData
from vdib.noise import EVALUATION, Noise
from vdib.objective import BITS_PER_NAT
from vdib.prior_fitting import fit_prior
from vdib.runs.cli import VDIBCLI, prepare
from vdib.runs.command import UserError
from vdib.runs.fitted_priors import start_of_fit
from vdib.runs.folder import Run
from vdib.runs.loading import rebuild, take_best
from vdib.spike_code import SpikeCode

TRAIN, VALIDATION, BATCH = 2_000, 400, 100
FEWEST = 10
"""Sequences of which intervals can be made."""

Progress = Callable[[Iterable[int], str], Iterable[int]]


def of_run(
    run: Run,
    num: int,
    particles: int,
    seed: int,
    priors: Sequence[str],
    progress: Progress,
    population: Sequence[int] | None = None,
) -> Report:
    """All that is measured of a run.

    Args:
        run: a finished one, with a sampled readout.
        num: N, or as many as the test split has.
        particles: K.
        seed: of everything that is drawn.
        priors: words of `PRIORS` that are fitted.
        progress: wraps the parts of each piece of work, with its name.
        population: readout neurons to split from the rest; the first half by default.

    Raises:
        UserError: no finished run, a code without probabilities, or a population that is none
            (one line).
    """
    cli = rebuild(run)
    if not cli.model.vdib.encoder.readout.stochastic:
        raise UserError(
            f"{run.folder}: its readout is a threshold: a code without log p(y || x) has no "
            "information to bound"
        )
    first = _population(cli.model.vdib.encoder.num_readout, population)
    prepare(cli)
    take_best(cli, run)
    with torch.no_grad():
        return _measured(cli, num, particles, seed, priors, progress, first)


def _population(num_readout: int, asked: Sequence[int] | None) -> Tensor:
    """Which neurons are of population a, `(N_y,)` bool."""
    neurons = set(range(num_readout // 2) if asked is None else asked)
    if asked is not None and not (
        neurons < set(range(num_readout)) and len(neurons) == len(asked) > 0
    ):
        raise UserError(
            f"--population: got {' '.join(map(str, asked))}, expected some of the neurons 0 to "
            f"{num_readout - 1}, not all, each once"
        )
    return torch.tensor([i in neurons for i in range(num_readout)])


def _measured(
    cli: VDIBCLI,
    num: int,
    particles: int,
    seed: int,
    priors: Sequence[str],
    progress: Progress,
    first: Tensor,
) -> Report:
    model, data = cli.model.vdib, cli.datamodule
    process = Blobs(data.process) if isinstance(data, BlobData) else None
    encoder = model.encoder

    def bar(words: str) -> Callable[[Iterable[int]], Iterable[int]]:
        return lambda items: progress(items, words)

    x = None
    if process is not None:
        x = simulate(process, Noise(seed, SEQUENCES, torch.arange(num)), data.num_steps)
        code, inputs = drawn(encoder, x.spikes, seed), x.spikes
    else:
        code, inputs = _codes(cli, "test", num, seed)
    count, num_steps, num_readout = code.spikes.shape
    if count < FEWEST:
        raise UserError(f"{count} test sequences, expected {FEWEST} or more")
    unit = "bits/step" if model.every_step else "bits/sample"
    factor = BITS_PER_NAT / (num_steps if model.every_step else 1)
    train, train_x = _codes(cli, "train", TRAIN, seed)
    validation, _ = _codes(cli, "validation", VALIDATION, seed)
    rows = [_prior_row("prior of training", model.prior, code, seed)]
    for word in (priors[i] for i in progress(range(len(priors)), "priors")):
        start = start_of_fit(cli, word, PRIORS[word].part, train.spikes)
        with torch.enable_grad():
            fitted = fit_prior(start, train, validation, seed)
        rows.append(_prior_row(f"prior {word}, fitted", fitted, code, seed))
    rows += of_pairs(code, seed, bar("pairs"))
    both = None
    if process is not None and x is not None:
        both = filters(encoder, process, particles, seed, num_steps)
        rows += both.rows(x, code, bar("particles"))
    whole = Section("I(x -> y)", tuple(rows), ceiling(count), combined(rows))
    sections = [whole, *told(cli, num, seed)]
    low = max(row.interval.estimate for row in rows if row.side == "below")
    if num_readout == 1:
        pass  # one neuron is no two populations
    elif process is not None or low < 0.9 * ceiling(count):
        fewer = None if both is None else replace(both, num_particles=max(2, particles // 4))
        parts, gap = between_populations(code, first, seed, fewer, x, bar("populations"))
        words = (
            f"a: neurons {_listed(first)}, b: the rest; middles between bounds that lie up to "
            f"{gap * factor:.2g} {unit} apart; {_ESTIMATES}"
        )
        sections.append(Section("populations a and b", tuple(parts), note=words))
    else:
        words = f"not told apart: log2 {count} bits, the most that {count} show, are reached"
        sections.append(Section("populations a and b", (), note=words))
    if isinstance(inputs, Tensor) and inputs.dim() == 3 and inputs.shape[2] <= MOST_INPUTS:
        some = slice(0, 200)
        of_train = SpikeCode(train.spikes[some], train.v[some])  # type: ignore[index]
        parts = over_lags(inputs, code, train_x[some], of_train, seed, bar("lags"))
        sections.append(Section("split over lags", tuple(parts), note=_ESTIMATES))
    facts = {
        "experiment": cli.config.experiment,
        "name": cli.config.name,
        "seed": seed,
        "num_sequences": count,
        "num_steps": num_steps,
        "particles": particles if process is not None else None,
    }
    return Report(
        f"{cli.config.experiment}, {cli.config.name}: {count} sequences of {num_steps} steps, "
        f"seed {seed}",
        unit,
        factor,
        tuple(sections),
        facts,
    )


def _listed(some: Tensor) -> str:
    """Which of them, runs of neighbours as such: `0 to 3, 7`."""
    spans: list[list[int]] = []
    for i in some.nonzero().flatten().tolist():
        if spans and spans[-1][-1] == i - 1:
            spans[-1][1:] = [i]
        else:
            spans.append([i])
    return ", ".join(" to ".join(map(str, span)) for span in spans)


_ESTIMATES = "estimates: differences of bounds bound nothing"


def _prior_row(name: str, prior: torch.nn.Module, code: SpikeCode, seed: int) -> Row:
    parts = torch.split(torch.arange(len(code.spikes)), BATCH)
    terms = []
    for rows in parts:
        assert code.v is not None
        some = SpikeCode(code.spikes[rows], code.v[rows])
        terms.append(some.cost(prior(some.spikes)).double().sum(1))
    return Row(name, "above", mean(torch.cat(terms).numpy()), len(code.spikes), seed)


def _codes(cli: VDIBCLI, split: str, num: int, seed: int) -> tuple[SpikeCode, Any]:
    """Codes of the first examples of a split, with drives, and their inputs."""
    data, encoder = cli.datamodule, cli.model.vdib.encoder
    examples = data.split(split)
    codes, inputs = [], []
    for rows in torch.split(torch.arange(min(num, len(examples))), BATCH):
        batch = data.code(examples.__getitems__(rows.tolist()), EVALUATION)
        code = encoder(batch.spikes, Noise(seed, EVALUATION, batch.id), drive=True)
        codes.append((code.spikes, code.logits, code.drive))
        inputs.append(batch.spikes)
    spikes, v, drive = (torch.cat(parts) for parts in zip(*codes, strict=True))
    dense = all(isinstance(part, Tensor) for part in inputs)
    return SpikeCode(spikes, v, drive=drive), torch.cat(inputs) if dense else None
