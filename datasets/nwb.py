"""Spike trains from files of Neurodata Without Borders: the units in the trials of a session.

Rübel et al., "The Neurodata Without Borders ecosystem for neurophysiological data science", 2022,
https://doi.org/10.7554/eLife.78362. Needs `pip install vdib[nwb]`.
"""

from pathlib import Path

import numpy as np

from vdib.datasets.extras import import_extra
from vdib.datasets.spike_train import Target, Train, as_target, in_us


def trials(path: Path, target: Target | None, column: str, scale: float, split: str) -> list[Train]:
    """The trials in a file; times count from a trial's start to its stop.

    Args:
        path: of the file, with a table of units (`spike_times`) and one of trials (`start_time`,
            `stop_time`).
        target: what each trial is to become; None where the table need not say it.
        column: of the table of trials, that holds it.
        scale: us per unit of time; NWB's times are in seconds.
        split: which it is of, where its folder says so.

    Raises:
        ImportError: pynwb is missing (one line).
        ValueError: no such file, table or column (one line).
    """
    pynwb = import_extra("pynwb", "nwb")
    try:
        opened = pynwb.NWBHDF5IO(str(path), "r")
    except Exception as error:  # whatever HDF5 makes of the bytes
        raise ValueError(f"{path} is damaged, or no NWB file") from error
    with opened:
        try:
            session = opened.read()
        except Exception as error:
            raise ValueError(f"{path} is damaged, or no NWB file") from error
        units, table = session.units, session.trials
        if units is None or "spike_times" not in units.colnames:
            raise ValueError(f"{path}: no units with spike_times")
        if table is None or not len(table):
            raise ValueError(f"{path}: no trials")
        if target is not None and column not in table.colnames:
            known = ", ".join(name for name in table.colnames if not name.endswith("_time"))
            raise ValueError(
                f"{path}: no column {column!r} of trials, which have {known or 'none'}: "
                "--data.trial_column"
            )
        each = [np.sort(np.asarray(units["spike_times"][i])) for i in range(len(units))]
        for i, times in enumerate(each):
            if not np.isfinite(times).all():
                raise ValueError(
                    f"{path}, unit {i}: times that are no numbers, expected finite ones"
                )
        starts, stops = (np.asarray(table[name][:]) for name in ("start_time", "stop_time"))
        found = []
        for i, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            where = f"{path}, trial {i}"
            if not start < stop:
                raise ValueError(f"{where}: from {start} to {stop}, expected a later stop")
            inside = [times[np.searchsorted(times, start) : np.searchsorted(times, stop)]
                      for times in each]  # fmt: skip
            unit = np.repeat(np.arange(len(each)), [len(times) for times in inside])
            time = np.concatenate([*inside, np.zeros(0)]) - start
            order = np.argsort(time, kind="stable")
            us, who = in_us(time[order], unit[order], scale, where)
            value = None if target is None else as_target(table[column][i], target, where)
            last = max(1, round((stop - start) * scale))
            found.append(Train(us, who, value, last, len(each), path, where, split))
    return found
