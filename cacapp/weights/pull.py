"""Download of weights. ``pooch`` checks the SHA-256 and puts the file in its place; what it lacks is here: an interrupted download resumes.

What has arrived lies in FILE.part beside its place. A pull requests the rest (HTTP Range, RFC 9110 section 14); where a server sends the
whole file instead, the download starts again from the first byte. After a lost connection it tries again from the last byte received.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cacapp.exceptions import CacappError, UsageError
from cacapp.weights import cache, receipt
from cacapp.weights.digest import Meter, NoMeter, sha256_of
from cacapp.weights.registry import Entry

if TYPE_CHECKING:
    from requests import Response

CONNECT_S, READ_S = 15.0, 60.0
TRIES = 5
CHUNK_BYTES = 1 << 16
"""Small, since a lost connection loses the rest of a chunk."""

OK, PARTIAL, NOT_FOUND, GONE, BAD_RANGE, TOO_MANY, SERVER_ERROR = 200, 206, 404, 410, 416, 429, 500


class _ConnectionLostError(Exception):
    """The connection ended early, or the server is busy: worth another try."""


class _RestartError(Exception):
    """What has arrived does not fit what the server has: start again from the first byte."""


def pull(entry: Entry, meter: Meter | None = None, tries: int = TRIES, pause_s: float = 1.0) -> Path:
    """Download the entry's file into the cache and return its path; an intact file in the cache is not downloaded again.

    Args:
        tries: give up after so many tries in a row that bring no byte.
        pause_s: seconds before the second try, doubled for each further one.

    Raises:
        UsageError: embedded weights.
        CacappError: no network, a file that the source lacks, a full disk, or another file than the published one, which is removed.
            What arrived before an interruption stays for the next pull.
    """
    if entry.url is None:
        raise UsageError(f"weights {entry.name!r} come with cacapp; there is nothing to pull")
    if cache.where(entry) == "here":
        return cache.locate(entry.name)
    import pooch

    pooch.get_logger().setLevel("WARNING")  # progress is shown by the meter
    folder, download = cache.make_folder(), _Download(entry, entry.url, meter or NoMeter(), tries, pause_s)
    try:
        path = Path(pooch.retrieve(entry.url, known_hash=entry.sha256, fname=entry.file, path=folder, downloader=download))
        receipt.write(path, entry.sha256 or sha256_of(path), entry.url)
    except ValueError as error:  # another digest
        raise CacappError(f"{entry.url} is not {entry.file}: {str(error).split('. ')[0]}; it was not kept") from None
    except OSError as error:
        raise cache.write_error(cache.part_of(entry), error) from None
    return path


class _Download:
    """Downloader for ``pooch.retrieve`` of one entry's file."""

    def __init__(self, entry: Entry, url: str, meter: Meter, tries: int, pause_s: float) -> None:
        self.entry, self.url, self.meter, self.tries, self.pause_s = entry, url, meter, tries, pause_s
        self.otherwise = f"or bring {entry.file} by other means and run `cacapp weights add {entry.name} {entry.file}`"

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Complete FILE.part, and move it to ``output_file``, where pooch checks the digest."""
        part = cache.part_of(self.entry)
        with part.open("ab") as sink:
            if not _lock(sink):
                raise CacappError(f"weights {self.entry.name!r} are being pulled already, by another cacapp on this machine")
            try:
                self._complete(sink)
                os.fsync(sink.fileno())
            finally:
                if _size(sink) == 0:
                    part.unlink(missing_ok=True)
        receipt.receipt_path(cache.path_of(self.entry)).unlink(missing_ok=True)  # of a file that was here before
        part.replace(output_file)

    def _complete(self, sink: IO[bytes]) -> None:
        failures = 0
        while True:
            done = _size(sink)
            try:
                self._request_rest(sink)
                return
            except _RestartError:
                if done == 0:
                    raise CacappError(f"{self.url}: the server's answers contradict each other; {self.otherwise}") from None
                sink.truncate(0)
            except _ConnectionLostError as error:
                failures = 1 if _size(sink) > done else failures + 1
                if failures >= self.tries:
                    raise CacappError(f"{self.url}: {error}; {_kept(sink)}the same command goes on from there") from None
                time.sleep(self.pause_s * 2 ** (failures - 1))

    def _request_rest(self, sink: IO[bytes]) -> None:
        """Send one request for the missing bytes; return when the file is complete."""
        import requests

        done = _size(sink)
        if done and done == self.entry.size_bytes:
            return
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        try:
            response = requests.get(self.url, headers=headers, stream=True, timeout=(CONNECT_S, READ_S))
        except requests.RequestException as error:
            raise CacappError(f"{self.url}: no connection ({_reason(error)}); {_kept(sink)}{self.otherwise}") from None
        with response:
            total = _total(response)
            if done and total == done:  # 416: the server has no more than what is here
                return
            self._check_head(response, done, total)
            if done and response.status_code == OK:  # it sends all from the first byte
                sink.truncate(0)
                done = 0
            if total is not None:
                cache.check_room(Path(sink.name).parent, total - done)
            self.meter.start(self.entry.file, total, done)
            self._write(response, sink, done, total)

    def _check_head(self, response: Response, done: int, total: int | None) -> None:
        """Raise where the answer to a request from byte ``done`` on does not bring the rest of this file."""
        status = response.status_code
        if status in (NOT_FOUND, GONE):
            raise CacappError(f"{self.url}: not found ({status}), the source has moved; {self.otherwise}")
        if status == BAD_RANGE:
            raise _RestartError
        if status == TOO_MANY or status >= SERVER_ERROR:
            raise _ConnectionLostError(f"the server answers {status} {response.reason}")
        if status not in (OK, PARTIAL):
            raise CacappError(f"{self.url}: the server answers {status} {response.reason}; {self.otherwise}")
        if total is not None and (why := cache.mismatch(self.entry, total)):
            raise CacappError(f"{self.url} is not {self.entry.file}: {why}; {self.otherwise}")
        if status == PARTIAL and not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            raise _RestartError

    def _write(self, response: Response, sink: IO[bytes], done: int, total: int | None) -> None:
        import requests

        most = total if total is not None else self.entry.size_bytes
        try:
            for chunk in response.iter_content(CHUNK_BYTES):
                sink.write(chunk)
                done += len(chunk)
                self.meter.advance(len(chunk))
                if most is not None and done > most:
                    sink.truncate(0)
                    raise CacappError(f"{self.url} is not {self.entry.file}: more than {most:,} bytes; {self.otherwise}")
        except requests.RequestException:
            raise _ConnectionLostError(f"the connection was cut after {done:,} bytes") from None
        finally:
            sink.flush()
        if most is not None and done < most:
            raise _ConnectionLostError(f"the connection was cut after {done:,} of {most:,} bytes")


def _total(response: Response) -> int | None:
    """Return the bytes of the whole file by the answer's head; None where it does not state them."""
    span = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", response.headers.get("Content-Range", ""))
    if response.status_code in (PARTIAL, BAD_RANGE):
        return int(span[1]) if span else None
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == OK and length.isdigit() else None


def _lock(sink: IO[bytes]) -> bool:
    """Lock an open file until it is closed; return False where another pull has locked it."""
    from filelock import lock_descriptor

    try:
        return lock_descriptor(sink.fileno(), blocking=False)
    except OSError:  # a network file system without locks: there the check of the digest finds a mixed file
        return True


def _size(sink: IO[bytes]) -> int:
    return os.fstat(sink.fileno()).st_size


def _kept(sink: IO[bytes]) -> str:
    return f"{size:,} bytes are kept, " if (size := _size(sink)) else ""


def _reason(error: Exception) -> str:
    """Return the innermost reason of a failed connection, in the operating system's words."""
    text = str(error)
    found = re.findall(r"\[Errno -?\d+\] ([^'\")]+)", text)
    if found:
        return str(found[-1]).strip()
    return "it took too long" if "timed out" in text else type(error).__name__
