"""A folder behind a real web server on 127.0.0.1, which can be slow, hang, cut files short, or be switched off."""

from __future__ import annotations

import threading
import time
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

PIECE = 2048


class WebStore:
    """Use as a context. ``asked`` counts the files that were sent, by name.

    Attributes:
        bytes_per_s: how fast files are sent, None for as fast as can be.
        hangs_on: a file that is begun and never ended.
        cut: how many bytes of each file are sent, though its whole length is announced.
        swap: another file's bytes are sent under this name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: Counter[str] = Counter()
        self.bytes_per_s: float | None = None
        self.hangs_on = ""
        self.cut: int | None = None
        self.swap: dict[str, str] = {}
        self.port = 0
        self.over = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> WebStore:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """On the port it had before, if any."""
        self.over.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), partial(_Handler, store=self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """As a server that is switched off: what it was sending ends in the middle."""
        self.over.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, store: WebStore) -> None:
        self.store = store
        super().__init__(*args, directory=str(store.folder))

    def log_message(self, *_: Any) -> None:
        pass

    def translate_path(self, path: str) -> str:
        found = Path(super().translate_path(path))
        return str(found.with_name(self.store.swap.get(found.name, found.name)))

    def copyfile(self, source: Any, outputfile: IO[bytes]) -> None:  # type: ignore[override]
        name = Path(getattr(source, "name", "listing")).name if hasattr(source, "fileno") else "listing"
        self.store.asked[name] += 1
        sent = 0
        while piece := source.read(PIECE):
            if self.store.over.is_set() or (self.store.cut is not None and name != "listing" and sent + len(piece) > self.store.cut):
                self.close_connection = True
                return
            outputfile.write(piece)
            sent += len(piece)
            if name == self.store.hangs_on:
                self.store.over.wait()
                return
            if self.store.bytes_per_s and name != "listing":
                time.sleep(len(piece) / self.store.bytes_per_s)
