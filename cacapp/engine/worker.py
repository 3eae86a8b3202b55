"""A worker process: reads work and item from its standard input, writes results, and ends when the coordinator does.

Its messages are those of ``cacapp.processes.child``, with pickles as arrays of bytes: both ends are processes of this program.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cacapp.activity import listen
from cacapp.engine.messages import ACTIVE, BEGUN, IDLE_EXIT, ITEM, RESULT, WORK
from cacapp.engine.outcome import timed
from cacapp.exceptions import CacappError
from cacapp.processes.child import Requests, take_pipes, write_message
from cacapp.types import Array

IDLE_S = 600.0
"""A worker whose coordinator was lost on a cluster, where its pipe stays open, gives its memory back after this."""


def main(modules: Sequence[str] = ()) -> None:
    """Import ``modules``, which work will need, and serve requests until standard input ends."""
    stream, answers = take_pipes()
    with suppress(OSError):  # where memory runs out, this process is to be killed rather than the coordinator
        Path("/proc/self/oom_score_adj").write_text("500")
    lock = threading.Lock()

    def say(header: dict[str, Any], arrays: Mapping[str, Array] | None = None) -> None:
        with lock:
            write_message(answers, header, arrays)

    def perform(arrays: Mapping[str, Array]) -> Array:
        work = load_work(arrays[WORK].tobytes())
        say({BEGUN: True})
        result = work(pickle.loads(arrays[ITEM].data))  # noqa: S301 from the coordinator
        return np.frombuffer(pickle.dumps(result, pickle.HIGHEST_PROTOCOL), np.uint8)

    listen(lambda who: say({ACTIVE: who}))
    requests = Requests(stream)
    for name in modules:
        with suppress(Exception):  # a faulty module is reported by the item that needs it
            import_module(name)
    while True:
        try:
            _, arrays = requests.get(IDLE_S)
        except queue.Empty:
            os._exit(IDLE_EXIT)
        outcome = timed(perform, arrays)
        with suppress(OSError):  # the coordinator is gone, and the thread that reads ends this process
            header = {"error": outcome.error, "seconds": outcome.seconds, "trace": outcome.trace}
            say(header, {} if outcome.result is None else {RESULT: outcome.result})


@lru_cache(maxsize=2)
def load_work(payload: bytes) -> Callable[[Any], Any]:
    """The work, unpickled once: it keeps what it loads, such as models, from item to item.

    Raises:
        CacappError: it is of a module that is not here, or of the script or notebook the coordinator runs.
    """
    import cv2

    cv2.setNumThreads(1)
    try:
        work: Callable[[Any], Any] = pickle.loads(payload)  # noqa: S301 from the coordinator
    except (AttributeError, ImportError) as error:
        raise CacappError(
            f"another process cannot load this work ({error}); an algorithm must be importable there, so install it as a package"
        ) from error
    return work


if __name__ == "__main__":
    # under its own name: what is unpickled here refers to cacapp.engine.worker, not to __main__
    from cacapp.engine.worker import main as run

    run(sys.argv[1:])
