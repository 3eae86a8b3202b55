"""A Dask cluster: the same work in processes of its workers. Imported only where one is asked for."""

from __future__ import annotations

import logging
from collections import Counter
from concurrent.futures import Future
from typing import Any, cast

from cacapp import __version__
from cacapp.engine.outcome import Outcome
from cacapp.engine.process import Task, perform, stop_processes
from cacapp.exceptions import CacappError, UsageError

Client = Any
"""``distributed.Client``, which has no types."""

CONNECT_S = 10.0
WORKERS_S = 60.0


def connect(address: str) -> Client:
    """Return a client of the scheduler at ``address`` as soon as it has a worker.

    Raises:
        UsageError: Dask is not installed, the address is none, or nobody answers there.
        CacappError: it has no workers, or they run another cacapp than this one.
    """
    try:
        import distributed
    except ImportError:
        raise UsageError("--cluster needs Dask, which is not installed: pip install 'cacapp[cluster]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its tracebacks say less than the one line that follows
    try:
        client: Client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False, name="cacapp")  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"--cluster {address}: no Dask scheduler answers there ({type(error).__name__}); start one: dask scheduler"
        ) from error
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
        found = Counter(client.run(installed_version).values())
    except TimeoutError:
        client.close()
        raise CacappError(f"--cluster {address}: it has no workers; start some: dask worker {address} --nthreads 1") from None
    except Exception as error:
        client.close()
        raise CacappError(
            f"--cluster {address}: cacapp cannot be used on its workers ({type(error).__name__}); install it there"
        ) from error
    if set(found) != {__version__}:
        client.close()
        there = ", ".join(f"{n} with {version}" for version, n in sorted(found.items()))
        raise CacappError(f"--cluster {address}: its workers must have cacapp {__version__}, as here; there are {there}")
    return client


def installed_version() -> str:
    """Return the version of cacapp where this runs."""
    return __version__


class Cluster:
    """The workers of a cluster, to which tasks are submitted."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._client = connect(address)

    def submit(self, task: Task) -> Future[Outcome[None, Any]]:
        return cast("Future[Outcome[None, Any]]", self._client.submit(perform, task, pure=False))

    def capacity(self) -> int:
        """Return how many items to submit at once: twice as many as the workers can do in parallel.

        Raises:
            CacappError: the scheduler is gone.
        """
        if self._client.status != "running":
            raise self.lost()
        try:
            return 2 * max(1, sum(int(cores) for cores in self._client.ncores().values()))
        except Exception as error:
            raise self.lost() from error

    def lost(self) -> CacappError:
        return CacappError(f"--cluster {self._address}: its scheduler is gone; what was finished is kept, go on with: cacapp runs resume")

    def abandon(self, engine: str) -> None:
        """End all running work of ``engine``."""
        self._on_all(engine, for_good=False)

    def close(self, engine: str) -> None:
        self._on_all(engine, for_good=True)
        self._client.close(timeout=2)

    def _on_all(self, engine: str, *, for_good: bool) -> None:
        if self._client.status == "running":
            self._client.run(stop_processes, engine, for_good=for_good, on_error="ignore")
