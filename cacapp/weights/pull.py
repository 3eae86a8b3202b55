"""Downloads of weights that go on where they stopped, and that are kept only when they are the published file.

What has come lies in FILE.part beside its place. A pull asks for the rest (HTTP Range, RFC 9110 section 14); a server that sends the
whole instead is obeyed and the part begun anew. A cut connection is tried again, each time from where it was cut.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cacapp.exceptions import CacappError, UsageError
from cacapp.weights import cache
from cacapp.weights.digest import Meter, NoMeter, sha256_of
from cacapp.weights.registry import Entry

if TYPE_CHECKING:
    from requests import Response

CONNECT_S, SILENCE_S = 15.0, 60.0
TRIES = 5
CHUNK_BYTES = 1 << 16
"""Small, since what a cut connection had of a chunk is lost."""

OK, PARTIAL, NOT_FOUND, GONE, BAD_RANGE, TOO_MANY, SERVER_ERROR = 200, 206, 404, 410, 416, 429, 500


class _CutError(Exception):
    """The connection ended early, or the server is busy: worth another try."""


class _RestartError(Exception):
    """What has come does not go with what the server has: begin anew."""


def pull(entry: Entry, meter: Meter | None = None, tries: int = TRIES, pause_s: float = 1.0) -> Path:
    """Downloads the entry's file into the cache and returns where it lies; a file that is here and whole is not downloaded again.

    ``tries``: tries in a row that win no byte before it gives up; ``pause_s``: seconds before the second, doubled for each further one.
    Raises UsageError for embedded weights; CacappError without network, for a file the source lacks, a full disk, or another file than
    the published one. What came of an interrupted pull is kept for the next, a file that fails its check is not.
    """
    if entry.url is None:
        raise UsageError(f"weights {entry.name!r} come with cacapp; there is nothing to pull")
    if cache.where(entry) == "here":
        return cache.locate(entry.name)
    part = cache.make_folder() / f"{entry.file}.part"
    meter = meter or NoMeter()
    try:
        with part.open("ab") as sink, _alone(sink, entry):
            try:
                _fill(entry, entry.url, sink, meter, tries, pause_s)
                os.fsync(sink.fileno())
            finally:
                if _size(sink) == 0:
                    part.unlink(missing_ok=True)
        cache.settle(entry, part, sha256_of(part, meter), entry.url, shown=entry.url)
    except OSError as error:
        raise cache.no_room(part, error) from None
    return cache.path_of(entry)


def _fill(entry: Entry, url: str, sink: IO[bytes], meter: Meter, tries: int, pause_s: float) -> None:
    failures = 0
    while True:
        done = _size(sink)
        try:
            _fetch(entry, url, sink, meter)
            return
        except _RestartError:
            if done == 0:
                raise CacappError(f"{url}: the server's answers contradict each other; {_bring(entry)}") from None
            sink.truncate(0)
        except _CutError as cut:
            failures = 1 if _size(sink) > done else failures + 1
            if failures >= tries:
                raise CacappError(f"{url}: {cut}; {_kept(sink)}the same command goes on from there") from None
            time.sleep(pause_s * 2 ** (failures - 1))


def _fetch(entry: Entry, url: str, sink: IO[bytes], meter: Meter) -> None:
    """One request for what is still missing; returns when the file is complete."""
    import requests

    done = _size(sink)
    if done and done == entry.size_bytes:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=(CONNECT_S, SILENCE_S))
    except requests.RequestException as error:
        raise CacappError(f"{url}: no connection ({_reason(error)}); {_kept(sink)}{_bring(entry)}") from None
    with response:
        if done and _total(response, done) == done:  # 416 of a server that has no more than what is here
            return
        done, total = _accept(entry, url, response, done, sink)
        if total is not None:
            cache.check_room(Path(sink.name).parent, total - done)
        meter.start(entry.file, total, done)
        _write(entry, url, response, sink, meter, done, total)


def _accept(entry: Entry, url: str, response: Response, done: int, sink: IO[bytes]) -> tuple[int, int | None]:
    """Judges the answer's head. Bytes to keep of what is here, and those of the whole file if the server tells."""
    status = response.status_code
    if status in (NOT_FOUND, GONE):
        raise CacappError(f"{url}: not found ({status}), the source has moved; {_bring(entry)}")
    if status == BAD_RANGE:
        raise _RestartError
    if status == TOO_MANY or status >= SERVER_ERROR:
        raise _CutError(f"the server answers {status} {response.reason}")
    if status not in (OK, PARTIAL):
        raise CacappError(f"{url}: the server answers {status} {response.reason}; {_bring(entry)}")
    total = _total(response, done)
    if total is not None and (why := cache.mismatch(entry, total)):
        raise CacappError(f"{url} is not {entry.file}: {why}; {_bring(entry)}")
    if status == PARTIAL and not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
        raise _RestartError
    if status == OK and done:  # it sends all from the first byte
        sink.truncate(0)
        done = 0
    return done, total


def _write(entry: Entry, url: str, response: Response, sink: IO[bytes], meter: Meter, done: int, total: int | None) -> None:
    import requests

    most = total if total is not None else entry.size_bytes
    try:
        for chunk in response.iter_content(CHUNK_BYTES):
            sink.write(chunk)
            done += len(chunk)
            meter.advance(len(chunk))
            if most is not None and done > most:
                sink.truncate(0)
                raise CacappError(f"{url} is not {entry.file}: more than {most:,} bytes; {_bring(entry)}")
    except requests.RequestException:
        raise _CutError(f"the connection was cut after {done:,} bytes") from None
    finally:
        sink.flush()
    if most is not None and done < most:
        raise _CutError(f"the connection was cut after {done:,} of {most:,} bytes")


def _total(response: Response, done: int) -> int | None:
    """Bytes of the whole file by the answer's head; None where it does not tell."""
    span = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", response.headers.get("Content-Range", ""))
    if response.status_code in (PARTIAL, BAD_RANGE):
        return int(span[1]) if span else None
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == OK and length.isdigit() else None


@contextmanager
def _alone(sink: IO[bytes], entry: Entry) -> Iterator[None]:
    """Two pulls of one file do not write into it at once, where the system and the file system have locks."""
    try:
        import fcntl
    except ImportError:  # Windows; there the check of the digest finds a mixed file
        yield
        return
    try:
        fcntl.flock(sink, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CacappError(f"weights {entry.name!r} are being pulled already, by another cacapp on this machine") from None
    except OSError:
        pass  # a network file system without locks
    yield


def _size(sink: IO[bytes]) -> int:
    return os.fstat(sink.fileno()).st_size


def _kept(sink: IO[bytes]) -> str:
    return f"{size:,} bytes are kept, " if (size := _size(sink)) else ""


def _bring(entry: Entry) -> str:
    return f"or bring {entry.file} by other means and run `cacapp weights add {entry.name} {entry.file}`"


def _reason(error: Exception) -> str:
    """The innermost reason of a failed connection, as the system words it."""
    text = str(error)
    found = re.findall(r"\[Errno -?\d+\] ([^'\")]+)", text)
    if found:
        return str(found[-1]).strip()
    return "it took too long" if "timed out" in text else type(error).__name__
