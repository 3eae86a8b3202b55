"""A worker process: reads (work, item) from its standard input, writes results, and ends when the coordinator does."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from cacapp.activity import listen
from cacapp.engine.outcome import timed
from cacapp.engine.wire import BEGUN, IDLE_EXIT, AtWork, receive, send
from cacapp.exceptions import CacappError

IDLE_S = 600.0
"""A worker whose coordinator was lost on a cluster, where its pipe stays open, gives its memory back after this."""


def main(modules: Sequence[str] = ()) -> None:
    """Imports ``modules``, which work will need, and serves requests until standard input ends."""
    # Ctrl-C is the coordinator's to hear; what libraries print must not get among the results
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    with suppress(OSError):  # where memory runs out, this process is to be killed rather than the coordinator
        Path("/proc/self/oom_score_adj").write_text("500")
    lock = threading.Lock()

    def tell(who: str) -> None:
        with lock:
            send(results, AtWork(who))

    listen(tell)
    requests: queue.Queue[tuple[bytes, bytes]] = queue.Queue()
    threading.Thread(target=_listen, args=(given, requests), daemon=True).start()
    for name in modules:
        with suppress(Exception):  # what is wrong with a module is said by the item that needs it
            import_module(name)
    while True:
        try:
            payload, item = requests.get(timeout=IDLE_S)
        except queue.Empty:
            os._exit(IDLE_EXIT)
        outcome = timed(partial(_perform, results), (payload, item))
        with suppress(OSError):  # the coordinator is gone, and _listen ends this process
            send(results, (outcome.result, outcome.error, outcome.seconds, outcome.trace))


def _listen(given: BinaryIO, requests: queue.Queue[tuple[bytes, bytes]]) -> None:
    """Reads ahead, so that the end of the coordinator is noticed in the middle of work too."""
    try:
        while True:
            requests.put(receive(given))
    finally:
        os._exit(0)


def _perform(results: BinaryIO, request: tuple[bytes, bytes]) -> Any:
    payload, item = request
    work = load_work(payload)
    send(results, BEGUN)
    return work(pickle.loads(item))  # noqa: S301 from the coordinator


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
