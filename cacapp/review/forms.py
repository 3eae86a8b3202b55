"""Types of request values: bounded numbers, and text that every database can store."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cacapp.steps.review.decide import MAX_TEXT, Action

MAX_ID = 2_147_483_647
Id = Annotated[int, Path(ge=1, le=MAX_ID)]
CellId = Annotated[int, Path(ge=1, le=2**53 - 1)]


def storable(text: str) -> str:
    """Return the text. Raises ValueError for NUL and for unpaired surrogates, which databases do not store."""
    if "\x00" in text:
        raise ValueError("contains a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("contains an unpaired surrogate") from None
    return text


Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(storable)]
Word = Annotated[str, Field(max_length=100), AfterValidator(storable)]
Group = Annotated[str, Query(max_length=60), AfterValidator(storable)]
Pixel = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0, le=32767)]


class Remaining(BaseModel):
    """The signal that remains of two merged ones: a dot by its ``number``, or an added signal by its position among them."""

    model_config = ConfigDict(extra="forbid")
    which: Literal["number", "added"]
    value: Number


class ReviewIn(BaseModel):
    """A decision on one cell."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    kind: Literal["accept", "class", "not_evaluable", "signal_added", "signal_removed", "signals_merged", "comment", "undo"]
    run_id: Annotated[int, Field(ge=1, le=MAX_ID, description="count run of the cell, its count_run")]
    seen: Annotated[int, Field(ge=0, le=MAX_ID, description="number of the cell's newest review, its seen; 0 without one")]
    key: Annotated[
        str,
        Field(
            min_length=8,
            max_length=64,
            pattern="^[A-Za-z0-9-]+$",
            description="chosen by the client; one key is written once",
        ),
    ]
    class_: Annotated[Word | None, Field(alias="class")] = None
    channel: Word | None = None
    y_px: Pixel | None = None
    x_px: Pixel | None = None
    number: Number | None = None
    added: Number | None = None
    into: Remaining | None = None
    reason: Text | None = None

    def action(self) -> Action:
        """Return the decision as the step takes it."""
        into = None if self.into is None else (self.into.which, self.into.value)
        return Action(self.kind, self.class_, self.channel, self.y_px, self.x_px, self.number, self.added, into, self.reason)
