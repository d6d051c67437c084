"""Which runs make the curves of a trade-off, and which of them are its points.

A curve is one way to code and decode, over all prices beta of a nat of rate: one run each, and each
seed. One model that is annealed through the betas takes fewer epochs: the run at a beta begins with
the weights of the run at the one before. A frozen encoder learns nothing of the price. Its runs
differ in their gain instead, and at each beta the gain is taken that would cost least on validation
data, `distortion + beta rate`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vdib.objective import BITS_PER_NAT

FROZEN = "frozen"
"""The curve of the encoder that is not trained."""

ANNEALED = "annealed"
"""The curve of one model that is trained through all betas, one after the other."""

CURVES: Mapping[str, Sequence[str]] = {
    "time": (),
    ANNEALED: (),
    "rate": ("--model.window", "rate"),
    FROZEN: ("--model.frozen_encoder", "true"),
}
"""What runs of a curve are told. Any other word is a decoder of labels that is made by hand."""


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        curve: it belongs to.
        beta: its price, as the command line has it.
        gain: of a frozen encoder; else None.
        seed: of the run.
    """

    curve: str
    beta: str
    gain: str | None
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        what = f"beta={self.beta}" if self.gain is None else f"gain={self.gain}"
        return f"{self.curve},{what},seed={self.seed}"


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        curves: what runs of each are told.
        betas: as the command line has them.
        gains: of the frozen encoder.
        seeds: how many runs of each.
        common: arguments of every run.
        folder: of all runs.
        anneal_epochs: of an annealed model at each beta after the first.
    """

    curves: Mapping[str, Sequence[str]]
    betas: Sequence[str]
    gains: Sequence[str]
    seeds: int
    common: Sequence[str]
    folder: Path
    anneal_epochs: int = 2

    def jobs(self) -> dict[Path, Job]:
        """Every run, by its folder; whole curves of the first seed come first."""
        jobs = [
            Job(curve, self.betas[0] if curve == FROZEN else value, gain, seed)
            for seed in range(self.seeds)
            for curve in self.curves
            for value, gain in (
                [("", gain) for gain in self.gains]
                if curve == FROZEN
                else [(beta, None) for beta in self.betas]
            )
        ]
        return {self.folder / job.name: job for job in jobs}

    def words(self, job: Job) -> list[str]:
        """What `vdib.fit` is told."""
        gain = [] if job.gain is None else ["--model.encoder_gain", job.gain]
        price = ["--model.beta", job.beta, "--seed", str(job.seed)]
        return [*self.common, *self.curves[job.curve], *gain, *price, *self._begun(job)]

    def _begun(self, job: Job) -> list[str]:
        if self.round_of(job) == 0:
            return []
        before = replace(job, beta=self.betas[self.round_of(job) - 1])
        weights = ["--model.init_from", str(self.folder / before.name)]
        return [*weights, "--trainer.max_epochs", str(self.anneal_epochs)]

    def round_of(self, job: Job) -> int:
        """How many runs have to come to their end before: those of an annealed model, in order."""
        return self.betas.index(job.beta) if job.curve == ANNEALED else 0

    def points(self, summaries: Mapping[Job, Mapping[str, Any]], cost: str) -> list[dict[str, Any]]:
        """The curves' points: curve, beta, gain, seed, and what the run's summary says.

        Args:
            summaries: of the runs that have come to their end.
            cost: the key of the rate under the training prior.
        """
        rows = []
        for curve in self.curves:
            own = {job: summary for job, summary in summaries.items() if job.curve == curve}
            for beta in self.betas:
                at: dict[Job, Mapping[str, Any]]
                if curve == FROZEN:
                    gain = _gain(own, float(beta), cost)
                    at = {
                        job: {**summary, **_losses(job, summary, float(beta), cost)}
                        for job, summary in own.items()
                        if job.gain == gain
                    }
                else:
                    at = {job: own[job] for job in own if job.beta == beta}
                rows += [
                    {"curve": curve, "beta": beta, "gain": job.gain, **summary}
                    for job, summary in at.items()
                ]
        return rows


def _losses(job: Job, summary: Mapping[str, Any], beta: float, cost: str) -> dict[str, float]:
    """The losses of a run, had it been charged beta for its rate."""
    return {
        f"{split}loss_nats": summary[f"{split}loss_nats"]
        + (beta - float(job.beta)) * summary[f"{split}{cost}"] / BITS_PER_NAT
        for split in ("", "validation_")
    }


def _gain(runs: Mapping[Job, Mapping[str, Any]], beta: float, cost: str) -> str | None:
    """The gain of the least mean validation loss, had its runs been charged beta."""
    losses: dict[str | None, list[float]] = {}
    for job, summary in runs.items():
        loss = _losses(job, summary, beta, cost)["validation_loss_nats"]
        losses.setdefault(job.gain, []).append(loss)
    return min(losses, key=lambda gain: sum(losses[gain]) / len(losses[gain]), default=None)
