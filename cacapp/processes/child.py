"""The child's end of the pipes, and the messages on them (docs/plugin-protocol.md). Needs Python 3.8 and numpy, imports nothing of cacapp.

Run as a file, by any Python::

    python child.py [--memory-mb N] TARGET [ARGUMENT ...]

TARGET is a Python file or the name of a module. It has a function ``handlers(arguments)`` that returns {operation: function}; each function
takes (meta, arrays), a dict of JSON values and a dict of numpy arrays, and returns the same two.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import runpy
import signal
import struct
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Handler = Callable[[dict[str, Any], dict[str, Any]], tuple[dict[str, Any], Mapping[str, Any]]]

MAGIC = b"CACAPP\x00\x01"
LENGTH = struct.Struct("<Q")
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float32", "float64")
MAX_HEADER = 2**26
"""Bytes of JSON a message may have."""

FILE_MODULE = "<file>"
"""Name that a target which is a file is run under."""


class ProtocolError(Exception):
    """What was read is no message of this protocol."""


def write_message(stream: BinaryIO, header: dict[str, Any], arrays: Mapping[str, Any] | None = None) -> None:
    """Write a message. ``header``: a dict of JSON values; ``arrays``: {name: array}, sent in C order, little-endian."""
    import numpy as np

    plain = {}
    for name, array in (arrays or {}).items():
        array = np.asarray(array)
        if array.dtype.name not in DTYPES:
            raise ProtocolError(f"array {name!r} has the dtype {array.dtype.name}; send one of {', '.join(DTYPES)}")
        plain[name] = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    listed = [{"name": name, "dtype": array.dtype.name, "shape": list(array.shape)} for name, array in plain.items()]
    body = json.dumps(dict(header, arrays=listed), allow_nan=False).encode()
    stream.write(MAGIC + LENGTH.pack(len(body)) + body)
    for array in plain.values():
        stream.write(array.tobytes() if array.size < 2**16 else _bytes(array))
    stream.flush()


def read_message(stream: BinaryIO, at_most: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a message: its header and its arrays.

    Args:
        at_most: bytes that all its arrays may have; None: any number.

    Raises:
        EOFError: the other process ended.
        ProtocolError: it is no message, or too large.
    """
    import numpy as np

    start = _exactly(stream, len(MAGIC) + LENGTH.size)
    if start[: len(MAGIC)] != MAGIC:
        raise ProtocolError(f"a message begins with {MAGIC!r}, got {bytes(start[: len(MAGIC)])!r}")
    (size,) = LENGTH.unpack(start[len(MAGIC) :])
    if size > MAX_HEADER:
        raise ProtocolError(f"a header of {size} bytes")
    try:
        header = json.loads(_exactly(stream, size).decode("utf-8"))
        listed = [(str(a["name"]), str(a["dtype"]), tuple(a["shape"])) for a in header.pop("arrays")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"a header that cannot be read ({type(error).__name__})") from None
    total = 0
    for name, dtype, shape in listed:
        if dtype not in DTYPES or len(shape) > 4 or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
            raise ProtocolError(f"array {name!r} of {dtype} {shape}")
        size = np.dtype(dtype).itemsize
        for n in shape:
            size *= n
        total += size
    if at_most is not None and total > at_most:
        raise ProtocolError(f"arrays of {total} bytes where {at_most} were the most to expect")
    arrays = {}
    for name, dtype, shape in listed:
        truth = dtype == "bool"  # numpy must not get a boolean byte other than 0 and 1
        array = np.empty(shape, np.dtype("uint8" if truth else dtype).newbyteorder("<"))
        if array.size:
            _fill(stream, _bytes(array))
        arrays[name] = array != 0 if truth else array.astype(dtype, copy=False)
    return header, arrays


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return standard input and output for messages alone: what libraries print goes to standard error. Ctrl-C is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, answers


class Requests:
    """Messages of the parent. A thread reads ahead, so that this process ends with its parent in the middle of work too."""

    def __init__(self, stream: BinaryIO) -> None:
        import numpy  # noqa: F401 before the thread needs it

        self._read: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=self._read_all, args=(stream,), daemon=True).start()

    def get(self, timeout_s: float | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the next message. Raises queue.Empty after ``timeout_s``, ProtocolError and MemoryError where it cannot be read."""
        message = self._read.get(timeout=timeout_s)
        if isinstance(message, BaseException):
            raise message
        return message  # type: ignore[no-any-return]

    def _read_all(self, stream: BinaryIO) -> None:
        try:
            while True:
                self._read.put(read_message(stream))
        except EOFError:
            os._exit(0)
        except BaseException as error:
            self._read.put(error)


def serve(requests: Requests, answers: BinaryIO, handlers: Mapping[str, Handler], target: str) -> None:
    """Answer requests until the parent ends. ``target``: the module that the handlers are of."""
    while True:
        header, arrays = requests.get()
        try:
            handler = handlers.get(str(header.get("op")))
            if handler is None:
                raise LookupError(f"there is no operation {header.get('op')!r}; there are {', '.join(sorted(handlers))}")
            meta, answer = handler(header.get("meta", {}), arrays)
            write_message(answers, {"ok": True, "meta": meta}, answer)
        except BrokenPipeError:
            return
        except (Exception, SystemExit) as error:
            write_message(answers, refusal(error, target))


def refusal(error: BaseException, target: str) -> dict[str, Any]:
    """Return the answer that reports an error: its ``line`` and ``kind``. An error of cacapp is reported by its words alone."""
    kinds = [cls.__name__ for cls in type(error).__mro__]
    if "UsageError" in kinds or "CacappError" in kinds:
        return {"ok": False, "kind": "usage" if "UsageError" in kinds else "error", "line": " ".join(str(error).split())[:2000]}
    line = failure(error, target)[:2000]
    return {"ok": False, "kind": "error", "line": line if isinstance(error, MemoryError) else f"failed: {line}"}


def failure(error: BaseException, module: str = "") -> str:
    """Describe an error in one line, with the last line of the module's package in its traceback, if there is one.

    For example: "RuntimeError: no luck, at acme_seeds/prompter.py:41 in prompt".
    """
    text = " ".join(str(error).split())
    name = type(error).__name__
    what = "ran out of memory" if isinstance(error, MemoryError) else f"{name}: {text}" if text else name
    package = module.split(".")[0]
    found, trace = None, error.__traceback__ if module else None
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0] == package:
            found = trace
        trace = trace.tb_next
    if found is None:
        return what
    code = found.tb_frame.f_code
    parts = Path(code.co_filename).parts
    file = "/".join(parts[len(parts) - 1 - parts[::-1].index(package) :]) if package in parts else parts[-1]
    function = "" if code.co_name.startswith("<") else f" in {code.co_name}"
    return f"{what}, at {file}:{found.tb_lineno}{function}"


def main(arguments: list[str]) -> None:
    """Take the pipes, set the limit of memory, load the target, send the first message, and serve."""
    stream, answers = take_pipes()
    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if Path(p).resolve() != here]
    own = ""
    try:
        if arguments[:1] == ["--memory-mb"]:
            _limit(int(arguments[1]))
            arguments = arguments[2:]
        requests = Requests(stream)
        target, rest = arguments[0], arguments[1:]
        own = FILE_MODULE if target.endswith(".py") else target
        module = runpy.run_path(target, run_name=own) if own == FILE_MODULE else vars(importlib.import_module(target))
        handlers = module["handlers"](rest)
    except (Exception, SystemExit) as error:
        write_message(answers, refusal(error, own))
        return
    write_message(answers, {"ok": True, "meta": {"protocol": 1, "python": sys.version.split()[0]}})
    serve(requests, answers, handlers, own)


def _limit(megabytes: int) -> None:
    """Limit the memory this process may write to: beyond it there is MemoryError. Works on Linux."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 2**20, megabytes * 2**20))


def _bytes(array: Any) -> memoryview:
    """Return the memory of an array in C order, byte by byte."""
    return memoryview(array.reshape(-1).view("uint8"))


def _exactly(stream: Any, size: int) -> bytearray:
    body = bytearray(size)
    _fill(stream, memoryview(body))
    return body


def _fill(stream: Any, view: memoryview) -> None:
    done = 0
    while done < len(view):
        got = stream.readinto(view[done : done + 2**24])
        if not got:
            raise EOFError
        done += got


if __name__ == "__main__":
    main(sys.argv[1:])
