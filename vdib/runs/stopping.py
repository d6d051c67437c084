"""Ctrl-C and SIGTERM in the middle of a training: it is saved first."""

import os
import signal
import threading
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from vdib.lightning_modules.checkpoints import Latest
from vdib.runs.command import Interrupted


class SavedFirst(Callback):
    """Has what a signal ends saved once its step is made; a second signal ends it at once.

    Of one process only: several are not within one and the same step when a signal comes. Their
    runs end at once, and go on from the latest checkpoint.

    Args:
        latest: sees to the saving.
    """

    def __init__(self, latest: Latest) -> None:
        self.latest = latest
        self.before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        main = threading.current_thread() is threading.main_thread()  # where signals arrive
        if trainer.world_size > 1 or not main:
            return
        process = os.getpid()

        def stop(signum: int, frame: FrameType | None) -> None:
            if os.getpid() != process or not self.latest.stop(Interrupted(signum)):
                self.before[signum](signum, frame)

        # Only now: Lightning has set up its own, which ends a training between two steps unsaved.
        for signum in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(signum)
            if callable(handler):
                self.before[signum] = handler
                signal.signal(signum, stop)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for signum, handler in self.before.items():
            signal.signal(signum, handler)
        self.before = {}
