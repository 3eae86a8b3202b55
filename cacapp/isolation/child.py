"""The child's side of the wire protocol (docs/plugin-protocol.md). Needs Python 3.8 and numpy, and imports nothing of cacapp.

Run as a file, by any Python::

    python child.py [--memory-mb N] TARGET [ARGUMENT ...]

TARGET is a Python file or the name of a module. It has a function ``handlers(arguments)`` that returns {operation: function}; each function
takes (meta, arrays), a dict of JSON values and a dict of numpy arrays, and returns the same two.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import struct
import sys
import threading
import time
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


class ProtocolError(Exception):
    """What came is no message of this protocol."""


def write_message(stream: BinaryIO, header: dict[str, Any], arrays: Mapping[str, Any] | None = None) -> None:
    """Writes a message. ``header``: a dict of JSON values; ``arrays``: {name: array}, sent in C order, little-endian."""
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
    """Header and arrays of a message.

    Args:
        at_most: bytes that all its arrays may have; None: any number.

    Raises:
        EOFError: the other side is gone.
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
        truth = dtype == "bool"  # another byte than 0 and 1 is not for numpy to see as one
        array = np.empty(shape, np.dtype("uint8" if truth else dtype).newbyteorder("<"))
        if array.size:
            _fill(stream, _bytes(array))
        arrays[name] = array != 0 if truth else array.astype(dtype, copy=False)
    return header, arrays


def serve(given: BinaryIO, results: BinaryIO, handlers: Mapping[str, Handler]) -> None:
    """Answers requests until the other side is gone."""
    while True:
        try:
            header, arrays = read_message(given)
        except EOFError:
            return
        try:
            handler = handlers.get(str(header.get("op")))
            if handler is None:
                raise LookupError(f"there is no operation {header.get('op')!r}; there are {', '.join(sorted(handlers))}")
            meta, answer = handler(header.get("meta", {}), arrays)
            write_message(results, {"ok": True, "meta": meta}, answer)
        except BrokenPipeError:
            return
        except (Exception, SystemExit) as error:
            write_message(results, refusal(error))


def refusal(error: BaseException) -> dict[str, Any]:
    """The answer that tells of an error: ``line`` of a ``kind``; what is an error of cacapp is told by its words alone."""
    text = " ".join(str(error).split())[:2000]
    kinds = [cls.__name__ for cls in type(error).__mro__]
    if "UsageError" in kinds or "CacappError" in kinds:
        return {"ok": False, "kind": "usage" if "UsageError" in kinds else "error", "line": text}
    if isinstance(error, MemoryError):
        return {"ok": False, "kind": "error", "line": "ran out of memory"}
    return {"ok": False, "kind": "error", "line": f"failed: {type(error).__name__}" + (f": {text}" if text else "")}


def main(arguments: list[str]) -> None:
    """Keeps the pipes for itself, sets the limit, loads the target, says hello, and serves."""
    given, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what libraries print must not get among the answers
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if Path(p).resolve() != here]
    try:
        if arguments[:1] == ["--memory-mb"]:
            _limit(int(arguments[1]))
            arguments = arguments[2:]
        target, rest = arguments[0], arguments[1:]
        module = runpy.run_path(target) if target.endswith(".py") else vars(importlib.import_module(target))
        handlers = module["handlers"](rest)
    except (Exception, SystemExit) as error:
        write_message(results, refusal(error))
        return
    write_message(results, {"ok": True, "meta": {"protocol": 1, "python": sys.version.split()[0]}})
    serve(given, results, handlers)


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone, even in the middle of work."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def _limit(megabytes: int) -> None:
    """Bounds the memory this process may write to; beyond it there is MemoryError. Held on Linux."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 2**20, megabytes * 2**20))


def _bytes(array: Any) -> memoryview:
    """The memory of an array in C order, byte by byte."""
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
