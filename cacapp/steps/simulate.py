"""Step ``simulate``: slides with exact truth, and the sample slides of the demo."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from cacapp.exceptions import UsageError
from cacapp.runs.progress import Progress, Silent
from cacapp.simulation import SAMPLE_PATIENTS, SlideModel, write_samples, write_slide


def simulate_slide(
    out: Path,
    frames: int,
    nuclei: int,
    height_px: int,
    width_px: int,
    seed: int,
    settings: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Path]:
    """Write frames, label images and truth.csv into ``out``. Raises UsageError for an unknown or out-of-range ``name=value``."""
    progress = progress or Silent()
    model = slide_model(settings)
    progress.start("simulate", frames)

    def advance(done: int, total: int) -> None:
        progress.advance()

    return write_slide(out, model, frames=frames, seed=seed, height_px=height_px, width_px=width_px, nuclei=nuclei, progress=advance)


def sample_slides(out: Path, progress: Progress | None = None) -> Path:
    """Write the slides of the five sample patients into ``out``, unless they are there; return the folder with slides.csv."""
    progress = progress or Silent()
    if (out / "slides.csv").exists():
        return out
    progress.start("simulate slides", sum(len(p.frames) for p in SAMPLE_PATIENTS))
    before = 0

    def advance(done: int, total: int) -> None:
        nonlocal before
        progress.advance(by=done - before)
        before = done

    write_samples(out, advance)
    return out


def slide_model(settings: Sequence[str]) -> SlideModel:
    """Return the slide model with ``name=value`` settings; values are JSON where they parse as such."""
    values = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text!r}: write it as name=value")
        if name not in SlideModel.model_fields:
            near = difflib.get_close_matches(name, SlideModel.model_fields, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"--set {text!r}: no such parameter; {hint}see: cacapp simulate --parameters")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    try:
        return SlideModel(**values)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:  # several parameters together
            raise UsageError(f"--set: {message}") from error
        raise UsageError(f"--set {first['loc'][0]}: {message[0].lower()}{message[1:]}, got {first['input']!r}") from error


def model_parameters() -> list[tuple[str, str, str]]:
    """Return name, default and description of every parameter of the slide model."""
    fields = SlideModel.model_fields.items()
    return [(name, str(field.get_default(call_default_factory=True)), field.description or "") for name, field in fields]
