"""From what was asked to a plan: which curves there are of a config, and what their axes are."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from vdib.handmade import HandmadeDecoder
from vdib.lightning_modules.choices import DECODERS
from vdib.runs.cli import VDIBCLI, build
from vdib.runs.command import UserError, tell
from vdib.signal import Label
from vdib.tradeoff.curves import ANNEALED, CURVES, FROZEN, Plan

BY_HAND = tuple(
    word
    for word, choice in DECODERS.items()
    if isinstance(choice.part, type) and issubclass(choice.part, HandmadeDecoder)
)
"""Decoders of labels that have nothing to learn."""


@dataclass(frozen=True)
class Axes:
    """What of the summaries is drawn.

    Attributes:
        cost: the rate under the training prior.
        bits: under the best prior fitted to the code.
        spikes: of the readout.
        distortion: in nats.
        unit: of all these.
        densities: the curves whose distortion is of no probability, but of a density.
    """

    cost: str
    bits: str
    spikes: str
    distortion: str
    unit: str
    densities: Sequence[str]


def planned(asked: argparse.Namespace, common: Sequence[str]) -> tuple[Plan, Axes]:
    """The runs, and what of them is drawn.

    Every curve's words are tried on the parser before anything runs; where no curve is named,
    those that this config cannot have are left out, and said.

    Raises:
        UserError: in one line, whatever is wrong with them.
    """
    name = asked.name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    words = [*common, "--name", name, "--model.beta", asked.betas[0]]
    cli = build(words)
    curves = _curves(asked.curves, cli)
    built = {}
    for curve, own in curves.items():
        try:
            for gain in asked.gains if curve == FROZEN else ():
                build([*words, *own, "--model.encoder_gain", gain])
            built[curve] = build([*words, *own])
        except UserError as error:
            if asked.curves:
                raise
            tell(f"no curve {curve}: {error}")
    curves = {curve: curves[curve] for curve in built}
    gains = asked.gains if FROZEN in curves else ()
    module = cli.model
    rate, distortion, unit = module.PLANE
    plan = Plan(curves, asked.betas, gains, asked.seeds, common, cli.folder, asked.anneal_epochs)
    no_probability = [
        curve for curve, own in built.items() if not own.model.vdib.decoder.PROBABILITY
    ]
    return plan, Axes(
        module.cost_name(rate),
        module.figure_under("best"),
        f"spikes_per_{unit}",
        distortion,
        unit,
        no_probability,
    )


def _curves(asked: Sequence[str] | None, cli: VDIBCLI) -> Mapping[str, Sequence[str]]:
    """What runs of each curve are told; where none is named, of all but the annealed one."""
    labels = isinstance(cli.model.signal, Label) and not cli.model.EVERY_STEP
    by_hand = BY_HAND if labels else ()
    known = (*CURVES, *by_hand)
    for word in asked or ():
        if word not in known:
            raise UserError(f"--curves: got {word}, expected some of {', '.join(known)}")
    told = dict(CURVES)
    neurons = str(cli.model.signal.num_outputs)
    for word in by_hand:
        told[word] = (
            *("--model.decoder", word, "--model.num_readout", neurons),
            *("--model.decoder_settings", "{}", "--model.window", "full"),
        )
    return {word: told[word] for word in asked or known if asked or word != ANNEALED}
