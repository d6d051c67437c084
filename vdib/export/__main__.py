"""`python -m vdib.export RUN --to safetensors|onnx|nir --out DIR`: a run in other tools' files.

    python -m vdib.export RUN --to safetensors --out DIR    run.json, model.safetensors
    python -m vdib.export RUN --to onnx --out DIR --check   decoder.onnx, encoder_step.onnx
    python -m vdib.export RUN --to nir --out DIR            encoder.nir, of the hard-threshold twin

`vdib.load(DIR)` and the commands that look at a run take the first again.
"""

import argparse
import sys
from pathlib import Path

from vdib.runs.command import UserError, run, words_of


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _export(words_of(args)))


def _export(args: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m vdib.export", description=_ABOUT)
    add = parser.add_argument
    add("run", metavar="RUN", type=Path, help="the folder of a run of vdib.fit")
    add("--to", required=True, choices=("safetensors", "onnx", "nir"), help="which files")
    add("--out", required=True, type=Path, metavar="DIR", help="folder for the files")
    add("--half", action="store_true", help="safetensors: numbers in half precision")
    add("--double", action="store_true", help="onnx: numbers in double precision")
    add("--check", action="store_true", help="run what was written beside the model, on test data")
    options = parser.parse_args(args)
    for flag, kind in (("half", "safetensors"), ("double", "onnx")):
        if getattr(options, flag) and options.to != kind:
            parser.error(f"--{flag}: only with --to {kind}")
    from vdib.export import writing  # takes seconds to import
    from vdib.runs.exported import run_at

    found, out, check = run_at(options.run), options.out, options.check
    try:
        if options.to == "safetensors":
            lines = writing.safetensors(found, out, options.half, check)
        elif options.to == "onnx":
            lines = writing.onnx(found, out, options.double, check)
        else:
            lines = writing.nir(found, out, check)
        for line in lines:
            print(line)
    except ImportError as error:
        raise UserError(f"--to {options.to} needs pip install 'vdib[export]' ({error})") from error
    except ValueError as error:  # a part that no such file can say
        raise UserError(str(error)) from error
    return 0


_ABOUT = "Write a trained run as safetensors and JSON, as ONNX, or as NIR (its deterministic twin)."


if __name__ == "__main__":
    sys.exit(main())
