"""Step ``import-labels``: import nuclei of another program or a person, as label images or outlines, as a segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sqlmodel import Session

from cacapp import __version__
from cacapp.arrays.regions import instances_of
from cacapp.db.engine.session import Database
from cacapp.db.runs.ledger import fingerprint
from cacapp.db.slides import frames_of
from cacapp.db.tables import FrameRow, Slide
from cacapp.engine import Engine, engine_or_new
from cacapp.exceptions import CacappError, UsageError
from cacapp.exchange.coco import Annotated, nuclei_of, read_coco
from cacapp.exchange.geojson import read_geojson
from cacapp.exchange.label_parts import labels_in_several_places, split_labels
from cacapp.exchange.label_zarr import labels_in
from cacapp.exchange.labelled_images import LABELS_SUFFIX, looks_like_a_foreground_mask, read_labels
from cacapp.exchange.roi import read_rois
from cacapp.frames import open_frame
from cacapp.frames.channels import DEFAULT_ALIASES
from cacapp.frames.digest import sha256_of
from cacapp.runs.acquire import Job
from cacapp.runs.ledger import announce_frames, run_job
from cacapp.runs.progress import Progress, RunReport, Silent
from cacapp.runs.segment_frame import SegmentedFrame, describe_nuclei, warning_of, write_segmented
from cacapp.runs.select import select_slides
from cacapp.types import DAPI, FrameSource, Instance

IMAGES = (".tif", ".tiff", ".png")
# Those of Cellpose, CellProfiler's objects, StarDist and Fiji's MorphoLibJ among them.
ENDINGS = (LABELS_SUFFIX, "_masks", "_cp_masks", "_label", "_mask", "_stardist", "_Nuclei", "_nuclei", "-lbl", "_lbl", "")
OUTLINES = (".ome.zarr", ".zarr", ".geojson", f"{LABELS_SUFFIX}.geojson", "_rois.zip", "_RoiSet.zip", ".zip")
PIECE = 0.1  # of the pixels of a label's largest part: a smaller part is ignored
ANNOTATIONS = "annotations.json"


@dataclass(frozen=True, slots=True)
class LabelledSource:
    """A frame and the file with its nuclei, with the file's SHA-256 at the start of the run; of a COCO file, the frame's part."""

    source: FrameSource
    labels: Path
    labels_sha256: str
    annotated: Annotated | None = None
    split: bool = False


def import_labels(
    db: Database,
    folder: Path,
    barcode: str,
    *,
    origin: str,
    split: bool = False,
    force: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Import the nuclei of a slide from label images (0 background, one number per nucleus) or outlines as a segment run.

    A frame's nuclei are in ``FRAME_labels``, ``FRAME_masks``, ``FRAME_cp_masks`` or ``FRAME`` with .tif, .tiff or .png, in the labels of
    ``FRAME.ome.zarr`` or ``FRAME.zarr``, in ``FRAME.geojson`` (QuPath), in ``FRAME_rois.zip`` (ImageJ), or all frames' in one COCO file
    ``annotations.json``; frames without any are left out with a warning. No filter judges the nuclei.

    Args:
        folder: folder with these files, or a COCO file.
        origin: person or program that drew them; stored with the run.
        split: make a nucleus of each separate part of a label; else a frame with labels in several places fails.

    Raises:
        UsageError: no such folder or slide, no labels for any frame, or two files for one; nothing is written.
    """
    progress = progress or Silent()
    if not origin.strip():
        raise UsageError("--origin is empty: name the program or person the labels are from")
    with db.reading() as session:
        slide = select_slides(session, [barcode], None)[0]
        frames = frames_of(session, slide.id)
    if not frames:
        raise CacappError(f"slide {barcode} has no frames; add some with: cacapp ingest PATH... --slide {barcode}")
    annotated, files = _files(folder, barcode, [f.name for f in frames])
    if not files:
        raise UsageError(f"{folder}: no labels for any frame of slide {barcode}; the first would be {frames[0].name}{LABELS_SUFFIX}.tif")
    for frame in frames:
        if frame.name not in files:
            progress.warn(f"slide {barcode}, frame {frame.name}: no labels in {folder}; the frame is left out")
    digests = {name: sha256_of(path) for name, path in files.items()}
    chosen = [f for f in frames if f.name in files]
    progress.start("import labels", len(chosen))
    job = _job(slide, chosen, files, digests, annotated, origin, split)
    with engine_or_new(engine) as place:
        announce_frames(place, chosen)
        return run_job(db, job, force=force, engine=place, progress=progress)


def labels_of(folder: Path, frame: str) -> Path | None:
    """Return the file with a frame's nuclei, None where there is none.

    Raises:
        UsageError: no such folder, or several possible files.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    stem = frame.removesuffix(".ome")
    # programs add their endings to the file's name, or to that of its DAPI channel
    stems = [stem, f"{stem}.ome", *(f"{stem}{e}{s}" for s in IMAGES for e in ("", ".ome"))]
    stems += [f"{stem}{sign}{name}" for name in DEFAULT_ALIASES[DAPI] for sign in "_-"]
    images: list[Path] = []
    for ending in ENDINGS:  # the first that exists: FRAME.tif may be the frame itself
        names = [f"{one}{ending}{suffix}" for one in (stems if ending else [stem]) for suffix in IMAGES]
        images = images or [path for name in names if (path := folder / name).is_file()]
    others = [path for one in stems for ending in OUTLINES if (path := folder / f"{one}{ending}").exists()]
    others = list(dict.fromkeys(others))
    pickled = next((path for one in stems if (path := folder / f"{one}_seg.npy").is_file()), None)
    if pickled is not None and not images and not others:
        raise UsageError(f"{pickled}: a pickle of Cellpose, which could run any code; save the masks as PNG or TIFF in Cellpose instead")
    found = images + [path for path in others if path.suffix != ".zarr" or (path / "labels").is_dir()]
    if len(found) > 1:
        raise UsageError(f"frame {frame}: its labels could be {found[0].name} or {found[1].name} in {folder}; keep one")
    return found[0] if found else None


def labelled_frame(task: LabelledSource) -> SegmentedFrame:
    """Open a frame and its nuclei. Raises CacappError for labels of another size, a foreground mask, or a changed file."""
    if sha256_of(task.labels) != task.labels_sha256:
        raise CacappError(f"{task.labels}: changed since the import began; import again")
    frame = open_frame(task.source)
    dapi = frame.channel(DAPI)
    height, width = dapi.shape
    suffix = task.labels.suffix.lower()
    if task.annotated is not None:
        nuclei = nuclei_of(task.annotated, height, width)
    elif suffix == ".geojson":
        nuclei = read_geojson(task.labels, height, width)
    elif suffix == ".zip":
        nuclei = read_rois(task.labels, height, width)
    else:
        nuclei = _from_image(labels_in(task.labels) if suffix == ".zarr" else task.labels, height, width, task.split)
    return describe_nuclei(dapi, nuclei, frame.pixel_size_um)


def _from_image(path: Path, height_px: int, width_px: int, split: bool) -> list[Instance]:
    labels = read_labels(path)
    if labels.shape != (height_px, width_px):
        raise CacappError(f"{path}: {labels.shape[::-1]} px, the frame is {(width_px, height_px)} px")
    if not split and looks_like_a_foreground_mask(labels):
        raise CacappError(f"{path}: all nuclei have the same number, they are not told apart; export instance labels")
    # labels may have up to 64 bits: make them consecutive, in their order
    values, inverse = np.unique(labels, return_inverse=True)
    numbers = (inverse.reshape(labels.shape) + (0 if values[0] == 0 else 1)).astype(np.int32)
    if split:
        numbers = split_labels(numbers)
    elif scattered := labels_in_several_places(numbers, PIECE):
        raise CacappError(
            f"{path}: {scattered} of {int(numbers.max())} labels lie in several separate places; a nucleus is one number: export them so, "
            "or make a nucleus of each place with --split-labels"
        )
    return instances_of(numbers)


def _files(folder: Path, barcode: str, frames: Sequence[str]) -> tuple[dict[str, Annotated], dict[str, Path]]:
    """Return the frames of a COCO file, if there is one, and the file of each frame that has one."""
    if folder.is_file():
        coco, single = folder, {}
    else:
        coco, single = folder / ANNOTATIONS, {f: found for f in frames if (found := labels_of(folder, f)) is not None}
    if not coco.is_file():
        return {}, single
    annotated = {name: one for name, one in read_coco(coco, barcode).items() if name in frames}
    both = next((name for name in annotated if name in single), None)
    if both is not None:
        raise UsageError(f"frame {both}: its labels could be {single[both].name} or in {ANNOTATIONS} in {folder}; keep one")
    return annotated, single | dict.fromkeys(annotated, coco)


def _job(
    slide: Slide,
    frames: Sequence[FrameRow],
    files: dict[str, Path],
    digests: dict[str, str],
    annotated: dict[str, Annotated],
    origin: str,
    split: bool,
) -> Job[LabelledSource, SegmentedFrame]:
    record = {
        "kind": "labels",
        "name": origin,
        "distribution": "cacapp",
        "version": __version__,
        "params": {"files": {name: str(path.resolve()) for name, path in files.items()}} | ({"split_labels": True} if split else {}),
        "weights_sha256": None,
    }
    return Job(
        slide_id=slide.id,
        barcode=slide.barcode,
        step="segment",
        fingerprint=fingerprint(
            step="import-labels",
            inputs=[(f.name, f.sha256, f.scene, f.projection, digests[f.name]) for f in frames],
            origin=origin,
            **({"split": True} if split else {}),
        ),
        run={"algorithms": {"chosen": [record]}, "params": {"labels_sha256": digests}},
        frames=frames,
        work=labelled_frame,
        item=partial(_item, files=files, digests=digests, annotated=annotated, split=split),
        write=write_segmented,
        warn=warning_of,
    )


def _item(
    session: Session,
    frame: FrameRow,
    source: FrameSource,
    *,
    files: dict[str, Path],
    digests: dict[str, str],
    annotated: dict[str, Annotated],
    split: bool,
) -> LabelledSource:
    return LabelledSource(source, files[frame.name], digests[frame.name], annotated.get(frame.name), split)
