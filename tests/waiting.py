"""What another program does once cacapp reports that it waits for it: no test depends on how fast a machine gets there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cacapp.db.engine import transactions


@contextmanager
def when_waiting(action: Callable[[], object]) -> Iterator[None]:
    """Run ``action`` when a writer reports that it waits for another program."""
    log = logging.getLogger(transactions.__name__)

    def act(record: logging.LogRecord) -> bool:
        action()
        return True

    log.addFilter(act)
    try:
        yield
    finally:
        log.removeFilter(act)
