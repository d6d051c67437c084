"""What `vdib.export` writes, and what it says of it, line by line."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vdib.decoder import WindowDecoder
from vdib.export.twin import drift, measured, twin
from vdib.files import replacing
from vdib.noise import EVALUATION, Noise
from vdib.runs.cli import VDIBCLI, prepare
from vdib.runs.exported import write_exported
from vdib.runs.folder import Run
from vdib.runs.loading import rebuild, take_best
from vdib.sparse import SparseSpikes
from vdib.version import __version__

STEPS = 1000
"""Of a stream, by which exported steps are checked."""
EXAMPLES = 20
"""Test examples by which a graph is."""


def safetensors(run: Run, out: Path, half: bool, check: bool) -> Iterator[str]:
    """`run.json` and `model.safetensors`; checked by the figures of the test split."""
    made = write_exported(run, out, half)
    yield _size(made.config_file)
    yield _size(made.best)
    if check:
        before, after = (_figures(each) for each in (run, made))
        for name, value in before.items():
            yield f"{name}: {value:.6g} of the run, {after[name]:.6g} of the export"


def onnx(run: Run, out: Path, double: bool, check: bool) -> Iterator[str]:
    """`decoder.onnx` and `encoder_step.onnx`, checked against onnxruntime."""
    from vdib.export import onnx_check, onnx_model

    cli = _model(run)
    model, dtype = cli.model.vdib, torch.float64 if double else torch.float32
    said = {
        "vdib_version": __version__,
        "run": str(run.folder),
        "signal": type(model.decoder.signal).__name__,
        "seconds_per_step": repr(seconds_per_step(cli)),
    }
    out.mkdir(parents=True, exist_ok=True)
    step = onnx_model.encoder_step(model.encoder, said, dtype)
    onnx_model.write(out / "encoder_step.onnx", step)
    yield _size(out / "encoder_step.onnx")
    decoder = model.decoder
    if isinstance(decoder, WindowDecoder):
        content = onnx_model.decoder_outputs(decoder, said, dtype)
        onnx_model.write(out / "decoder.onnx", content)
        yield _size(out / "decoder.onnx")
    else:
        yield f"no decoder.onnx: a {type(decoder).__name__} has no weights"
    if not check:
        return
    x, noise = stream_of(cli, STEPS)
    for kind in (torch.float64, torch.float32):
        content = step if kind == dtype else onnx_model.encoder_step(model.encoder, said, kind)
        found = onnx_check.compare(model.encoder, content, x.to(kind), noise)
        yield (
            f"{str(kind).removeprefix('torch.')}: {found.spikes:,} spikes in {found.steps:,} "
            f"steps, {len(found.disagreements)} of them others under onnxruntime, at most "
            f"{found.furthest:.1g} from the threshold"
        )
    if isinstance(decoder, WindowDecoder):
        batch = cli.datamodule.examples("test", 100)
        with torch.no_grad():
            code = model.encode(batch.spikes, Noise(cli.model.seed, EVALUATION, batch.id))
        spikes = code.spikes[:, -decoder.window.length :]
        single = onnx_model.decoder_outputs(decoder, said)
        error = onnx_check.decoder_error(decoder, single, spikes)
        yield (
            f"decoder: outputs of {len(spikes)} test examples differ by {error:.1e} of "
            "max(1, |output|) at most"
        )


def nir(run: Run, out: Path, check: bool) -> Iterator[str]:
    """`encoder.nir`, of the deterministic twin, which is measured; checked by reading it back."""
    import nir as package  # type: ignore[import-untyped, import-not-found, unused-ignore]

    if tuple(map(int, package.version.split(".")[:3])) < (1, 0, 8):  # which had no resets
        raise ImportError(f"nir {package.version}, expected 1.0.8 or later")
    from vdib.export.nir_graph import graph_of
    from vdib.export.nir_layer import read
    from vdib.export.nir_nodes import describe

    cli = _model(run)
    encoder = cli.model.vdib.encoder
    hard = twin(encoder)
    dt = seconds_per_step(cli)
    graph_of(hard, dt, {})  # refuses what it cannot say before anything is measured
    said: dict[str, Any] = {
        "vdib_version": __version__,
        "run": str(run.folder),
        "decoder": "is not in this file: vdib.export --to onnx or safetensors",
        "readout": "deterministic as it was trained",
    }
    changed: dict[str, dict[str, float]] = {}
    if encoder.readout.stochastic:
        said["readout"] = "fires where v > 0; it was trained to fire with probability sigmoid(v)"
        if cli.model.vdib.decoder.SAMPLES:
            prepare(cli)
            changed = drift(cli)
            said["drift"] = json.dumps(changed)
        else:
            said["drift"] = "not measured: the decoder looks at the drive of a sampled readout"
    graph = graph_of(hard, dt, said)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "encoder.nir"
    content = io.BytesIO()  # HDF5 reads what it writes
    package.write(content, graph)
    with replacing(path) as file:
        file.write(content.getvalue())
    yield f"{_size(path)}: {describe(graph)}"
    for name, values in changed.items():
        yield (
            f"{name}: {values['model']:.4g} of the model, {values['twin']:.4g} of its twin with a "
            f"hard threshold ({values['drift']:+.4g})"
        )
    if check:
        prepare(cli)
        batch = cli.datamodule.examples("test", EXAMPLES)
        x = batch.spikes.dense() if isinstance(batch.spikes, SparseSpikes) else batch.spikes
        with torch.no_grad():
            expected = hard.double()(x.double()).spikes
            found, _ = read(path)(x)
        wrong = int((expected != found).sum())
        yield f"read back: {int(expected.sum()):,} spikes of {len(x)} test examples, {wrong} others"


def seconds_per_step(cli: VDIBCLI) -> float:
    """Of recordings, as they are binned; a millisecond where the data have no time of their own."""
    binning = getattr(getattr(cli.datamodule, "prepare", None), "binning", None)
    return 1e-3 if binning is None or binning.dt is None else binning.dt * 1e-6


def stream_of(cli: VDIBCLI, steps: int) -> tuple[Tensor, Tensor]:
    """Test examples one after the other, and noise: `(T, *N_in)` and `(T, N)`."""
    prepare(cli)
    count = -(-steps // cli.datamodule.num_steps)
    batch = cli.datamodule.examples("test", count)
    x = batch.spikes.dense() if isinstance(batch.spikes, SparseSpikes) else batch.spikes
    whole = x.flatten(0, 1)[:steps]
    address = Noise(cli.model.seed, EVALUATION, torch.zeros(1, dtype=torch.int64))
    shape = (cli.model.vdib.encoder.num_readout,)
    return whole, address.uniform(0, len(whole), shape)[0]


def _model(run: Run) -> VDIBCLI:
    cli = rebuild(run)
    take_best(cli, run)
    return cli


def _figures(run: Run) -> dict[str, float]:
    cli = _model(run)
    prepare(cli)
    return measured(cli.evaluator(), cli)


def _size(path: Path) -> str:
    return f"{path}, {path.stat().st_size / 1e6:.2f} MB"
