"""The outcome of one item: its result or its error."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cacapp.exceptions import CacappError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Result]):
    """The outcome of an item.

    Attributes:
        result: the result of the work, None if it failed.
        error: the reason why it failed, in one line.
        trace: the traceback of an unexpected exception.
        seconds: the time the item took, s.
    """

    item: Item
    result: Result | None
    error: str | None
    seconds: float
    trace: str | None = None


def timed(work: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    """Do the work. A failure of one item becomes its outcome, so that the others continue."""
    start = time.perf_counter()
    trace = None
    try:
        return Outcome(item, work(item), None, time.perf_counter() - start)
    except CacappError as error:
        what = str(error)
    except MemoryError:
        what = "out of memory; close other programs, or give a smaller --workers"
    except Exception as error:
        text = " ".join(str(error).split())
        what = f"unexpected {type(error).__name__}{f': {text}' if text else ''}; please report it, with what `cacapp runs show` says"
        trace = traceback.format_exc()
    return Outcome(item, None, what, time.perf_counter() - start, trace)
