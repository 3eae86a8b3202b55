"""Step ``simulate``: slides with exact truth, and the sample slides of the demo."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from cacapp.exceptions import UsageError
from cacapp.exchange.labelled_images import Samples, labelled_files
from cacapp.runs.progress import Progress, Silent
from cacapp.simulation import SAMPLE_PATIENTS, NucleusBank, SlideModel, load_preset, write_samples, write_slide


def simulate_slide(
    out: Path,
    frames: int,
    nuclei: int,
    height_px: int,
    width_px: int,
    seed: int,
    settings: Sequence[str] = (),
    preset: str | None = None,
    nuclei_from: Path | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write frames, label images, truth.csv and, of scenes with troubles, dots.csv into ``out``.

    Args:
        settings: ``name=value`` texts, which go before the preset's.
        preset: name or TOML file.
        nuclei_from: folder of labelled images whose nuclei are used; None: nuclei are drawn.

    Raises:
        UsageError: an unknown or out-of-range ``name=value``, a wrong preset, or a folder with too few usable nuclei.
    """
    progress = progress or Silent()
    model = slide_model(settings, preset)
    bank = None if nuclei_from is None else read_nuclei(nuclei_from)
    progress.start("simulate", frames)

    def advance(done: int, total: int) -> None:
        progress.advance()

    return write_slide(
        out, model, frames=frames, seed=seed, height_px=height_px, width_px=width_px, nuclei=nuclei, bank=bank, progress=advance
    )


def read_nuclei(folder: Path) -> NucleusBank:
    """Return the single nuclei of a folder of labelled images: ``images/`` and ``labels/``, or ``x.tif`` beside ``x_labels.tif``.

    Raises:
        UsageError: no such folder, no pairs, or too few usable nuclei.
        CacappError: a file cannot be read.
    """
    parted = (folder / "images").is_dir() and (folder / "labels").is_dir()
    files, _ = labelled_files(*((folder / "images", folder / "labels") if parted else (folder, folder)))
    samples = Samples([file for file in files if file.image and file.labels])
    return NucleusBank.of((sample.dapi, sample.labels) for sample in samples)


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


def slide_model(settings: Sequence[str], preset: str | None = None) -> SlideModel:
    """Return the slide model of a preset with ``name=value`` settings; values are JSON where they parse as such."""
    values = {} if preset is None else dict(load_preset(preset).parameters)
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
        given = [text.partition("=")[0] for text in settings]
        source = "--set" if preset is None or (first["loc"] and first["loc"][0] in given) else f"preset {preset}:"
        if not first["loc"]:  # several parameters together
            raise UsageError(f"{source}: {message}" if source == "--set" else f"{source} {message}") from error
        raise UsageError(f"{source} {first['loc'][0]}: {message[0].lower()}{message[1:]}, got {first['input']!r}") from error


def model_parameters(preset: str | None = None) -> list[tuple[str, str, str]]:
    """Return name, value (the preset's, else the default) and description of every parameter of the slide model."""
    model = slide_model((), preset)
    return [(name, str(getattr(model, name)), field.description or "") for name, field in SlideModel.model_fields.items()]
