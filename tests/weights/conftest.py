"""A registry of small files, a cache of this test alone, and a real server on 127.0.0.1 that behaves as badly as it is told."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cacapp.weights import registry
from cacapp.weights.registry import Entry

PAYLOAD = random.Random(7).randbytes(700_001)
DIGEST = hashlib.sha256(PAYLOAD).hexdigest()


@dataclass
class Source:
    """What the server does; ``ranges`` holds the Range header of every request, None where there was none."""

    url: str
    payload: bytes = PAYLOAD
    honours_range: bool = True
    cuts_after: list[int] = field(default_factory=list)  # body bytes of the first answers before the connection is cut
    statuses: list[int] = field(default_factory=list)  # error codes of the first answers
    tells_length: bool = True
    claims_bytes: int | None = None
    shift: int = 0  # how far from the asked byte a ranged answer begins
    ranges: list[str | None] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    source: Source

    def do_GET(self) -> None:
        source, asked = self.source, self.headers["Range"]
        source.ranges.append(asked)
        if source.statuses:
            self.send_error(source.statuses.pop(0))
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and source.honours_range else 0
        if start >= len(source.payload):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(source.payload)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start += source.shift if start else 0
        body = source.payload[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(source.payload) - 1}/{len(source.payload)}")
        if source.tells_length:
            self.send_header("Content-Length", str(source.claims_bytes or len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # the client may hang up on an answer it refuses
            self.wfile.write(body[: source.cuts_after.pop(0)] if source.cuts_after else body)

    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A running server; set its fields to make it misbehave."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        found = Source(f"http://127.0.0.1:{server.server_address[1]}/small_01ab23.pth")
        handler.source = found
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test, not made yet."""
    path = tmp_path / "data" / "weights"
    monkeypatch.setenv("CACAPP_WEIGHTS", str(path))
    return path


@pytest.fixture
def small(source: Source, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """The one entry of this test's registry: 700,001 bytes, served by ``source``."""
    file = tmp_path / "registry.toml"
    file.write_text(
        f"""
[small]
architecture = "vit_b"
description = "a small one"
file = "small_01ab23.pth"
url = "{source.url}"
sha256 = "{DIGEST}"
size_bytes = {len(PAYLOAD)}
licence = "Apache-2.0"
licence_url = "https://www.apache.org/licenses/LICENSE-2.0"

[own]
architecture = "nuclei_t"
description = "comes with cacapp"
file = "own.safetensors"
licence = "Apache-2.0"
licence_url = "https://www.apache.org/licenses/LICENSE-2.0"
embedded = true
"""
    )
    monkeypatch.setattr(registry, "REGISTRY", file)
    monkeypatch.setattr("cacapp.weights.cache.EMBEDDED", tmp_path / "embedded")
    return registry.find("small")


@pytest.fixture
def payload() -> bytes:
    return PAYLOAD


@pytest.fixture
def digest() -> str:
    return DIGEST
