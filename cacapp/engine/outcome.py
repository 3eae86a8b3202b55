"""What became of one item."""

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
    """What became of an item.

    Attributes:
        result: what the work gave, None where it failed.
        error: why it failed, in one line.
        trace: the traceback of a failure nobody foresaw.
        seconds: what the item took, s.
    """

    item: Item
    result: Result | None
    error: str | None
    seconds: float
    trace: str | None = None


def timed(work: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    """Does the work; whatever goes wrong with one item is that item's outcome, so that the others go on."""
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
