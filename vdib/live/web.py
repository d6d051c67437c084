"""A live input in a browser on this machine: one page, and server-sent events."""

import base64
import io
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vdib.live.engine import Look
from vdib.live.page import PAGE
from vdib.live.status import Status

_EVERY = 0.1  # s between two messages
HOST = "127.0.0.1"


def png(grey: NDArray[np.floating]) -> str:
    """A picture (H, W) in [0, 1] as a PNG in base64."""
    data = io.BytesIO()
    Image.fromarray(np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)).save(data, format="png")
    return base64.b64encode(data.getvalue()).decode("ascii")


def message(look: Look | None, status: Status) -> dict[str, Any]:
    """What a browser is told."""
    found: dict[str, Any] = {"status": status.read()}
    if look is not None:
        found["raster"] = png(1 - look.window.T)
        found["events"] = png(0.5 + look.events / max(1, 2 * int(abs(look.events).max())))
        if look.image is not None:
            found["image"] = png(look.image)
        if look.label is not None:
            found["label"] = f"{look.label[0]} ({look.label[1]:.2f})"
    return found


class Web:
    """Serves the latest look, to anybody on this machine.

    Args:
        status: what is to be said.
        port: 0 for any that is free.

    Attributes:
        address: of the page.
    """

    def __init__(self, status: Status, port: int) -> None:
        self._latest: Look | None = None
        self._stopped = threading.Event()

        def now() -> dict[str, Any]:
            return message(self._latest, status)

        self._server = ThreadingHTTPServer((HOST, port), _handler(now, self._stopped))
        self._server.daemon_threads = True
        self.address = f"http://{HOST}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def show(self, look: Look) -> None:
        """To be told with the next message."""
        self._latest = look

    def close(self) -> None:
        """Answer nobody any more."""
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(
    now: Callable[[], dict[str, Any]], stopped: threading.Event
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = (self.headers.get("Host") or "").rpartition(":")[0]
            if host not in (HOST, "localhost"):  # of another site's page, whose name leads here
                self.send_error(403)
            elif self.path == "/":
                self._begin("text/html; charset=utf-8")
                self.wfile.write(PAGE.encode())
            elif self.path == "/stream":
                self._begin("text/event-stream")
                self._follow()
            else:
                self.send_error(404)

        def _begin(self, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()

        def _follow(self) -> None:
            try:
                while True:
                    self.wfile.write(f"data: {json.dumps(now())}\n\n".encode())
                    self.wfile.flush()
                    if stopped.wait(_EVERY):
                        return
            except OSError:  # the browser went
                return

        def log_message(self, *words: Any) -> None:
            """Nothing: the terminal shows the input."""

    return Handler
