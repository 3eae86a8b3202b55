"""Write pseudo-labels as a COCO data set: images, annotations and an overview picture; the folder is complete or not there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cacapp import __version__
from cacapp.arrays import rle
from cacapp.db.cells.pseudo_labels import PseudoLabelRecord
from cacapp.db.engine.session import Database
from cacapp.db.runs.ledger import get_run
from cacapp.exceptions import CacappError, UsageError
from cacapp.report.overlay_sheet import CropPicker, JudgedMask, overlay_png
from cacapp.runs.files import file_name, make_folder, write_atomically
from cacapp.runs.progress import Progress, Silent
from cacapp.steps.learning.pseudo_samples import LabelledFrame, PseudoSamples
from cacapp.types import UNKNOWN, Array, TrainingSample

IMAGES, ANNOTATIONS, OVERLAY = "images", "annotations.json", "overlay.png"
CATEGORY = {"id": 1, "name": "nucleus", "supercategory": "cell"}


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set that was written. ``labels``: accepted nuclei, one annotation each; ``rejected``: nuclei filled with background."""

    folder: Path
    images: int
    labels: int
    rejected: int

    def record(self) -> dict[str, Any]:
        """Return the data set as JSON values."""
        return asdict(self) | {"folder": str(self.folder)}


def require_folder(out: Path) -> None:
    """Raise UsageError unless ``out`` is missing, empty, or holds an older data set, which is replaced."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")
    if out.resolve() == Path.cwd():
        raise UsageError(f"--out {out} is the current folder, which cannot be replaced; name another one")
    if any(out.iterdir()) and not _is_ours(out):
        raise UsageError(f"--out {out} holds other files; name a new folder, or empty this one")


def write_coco(db: Database, run_ids: Sequence[int], out: Path, seed: int = 0, progress: Progress | None = None) -> DataSet:
    """Write the frames of pseudo-label runs as a COCO data set into the folder ``out``, in place of an older one.

    ``images/*.png``: DAPI with rejected nuclei filled with background, in the bit depth of the frame;
    ``annotations.json``: one annotation per accepted nucleus (compressed RLE of the whole image, iscrowd 0); pixels of rejected nuclei
    that could not be filled are one annotation with iscrowd 1, which COCO's tools ignore; ``overlay.png``: an overview.

    Args:
        run_ids: finished pseudo-label runs.
        seed: of the noise that rejected regions are filled with, and of the choice of crops in the sheet.

    Raises:
        UsageError: ``out`` holds other files, or a run is not one of this step.
        CacappError: no label is accepted, a frame's file is gone or has changed, or the folder cannot be written. ``out`` stays as it was.
    """
    progress = progress or Silent()
    require_folder(out)
    samples = PseudoSamples.of_runs(db, run_ids, seed)
    progress.start("data set", len(samples))
    names: set[str] = set()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    picker = CropPicker(seed)
    rejected = 0
    with _replaced(out) as folder:
        for number, frame in enumerate(samples.frames, 1):
            dapi, records = samples.dapi(frame), samples.records(frame)
            sample = samples.sample(frame, dapi, records)
            name = _unique(f"{file_name(frame.slide)}_{file_name(frame.source.name)}", names)
            pixels = _png(sample.dapi)
            write_atomically(folder / IMAGES / name, pixels)
            images.append(_image(number, f"{IMAGES}/{name}", pixels, frame, sample))
            for record in (r for r in records if r.judgement.accepted):
                annotations.append(_annotation(len(annotations) + 1, number, record, sample.labels.shape))
            if (unknown := _unknown(len(annotations) + 1, number, sample.labels)) is not None:
                annotations.append(unknown)
            rejected += sum(not r.judgement.accepted for r in records)
            masks = [JudgedMask(r.instance, r.judgement.reasons) for r in records]
            picker.offer(f"slide {frame.slide}, frame {frame.source.name}", dapi, sample.dapi, masks)
            progress.advance(frame.source.name)
        labels = sum(not a["iscrowd"] for a in annotations)
        content = {"info": _info(db, samples, seed), "categories": [CATEGORY], "images": images, "annotations": annotations}
        runs = f"run{'s' if len(run_ids) > 1 else ''} {', '.join(map(str, run_ids))}"
        title = f"Pseudo-labels of {runs}: {labels} accepted, {rejected} rejected, {len(images)} images"
        write_atomically(folder / OVERLAY, overlay_png(title, picker.crops()))
        write_atomically(folder / ANNOTATIONS, json.dumps(content, ensure_ascii=False).encode())
    return DataSet(out, len(images), labels, rejected)


@contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """Yield a folder beside ``out`` that replaces it at the end; after an exception it is removed."""
    out = out.absolute()
    part, old = out.with_name(f".{out.name}.part"), out.with_name(f".{out.name}.old")
    try:
        shutil.rmtree(part, ignore_errors=True)
        make_folder(part)
        yield part
        try:
            shutil.rmtree(old, ignore_errors=True)
            if out.exists():
                out.replace(old)
            part.replace(out)
        except OSError as error:
            if old.exists() and not out.exists():
                old.replace(out)
            raise CacappError(f"{out} cannot be written: {error.strerror or error}; choose another place with --out") from error
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder holds a data set of this program and nothing else."""
    try:
        content = json.loads((folder / ANNOTATIONS).read_bytes())
        own = {folder / name for name in (ANNOTATIONS, OVERLAY, IMAGES)} | {folder / image["file_name"] for image in content["images"]}
        return "cacapp" in content["info"] and set(folder.rglob("*")) <= own
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _png(plane: Array) -> bytes:
    done, encoded = cv2.imencode(".png", plane)
    if not done:
        raise CacappError(f"an image of {plane.shape[1]} x {plane.shape[0]} px cannot be encoded as PNG")
    return bytes(encoded)


def _unique(stem: str, taken: set[str]) -> str:
    """Return a file name that no other image has, also where file names ignore case."""
    name, n = f"{stem}.png", 1
    while name.lower() in taken:
        n += 1
        name = f"{stem}-{n}.png"
    taken.add(name.lower())
    return name


def _image(number: int, name: str, pixels: bytes, frame: LabelledFrame, sample: TrainingSample) -> dict[str, Any]:
    height, width = sample.dapi.shape
    return {
        "id": number,
        "file_name": name,
        "height": height,
        "width": width,
        "sha256": hashlib.sha256(pixels).hexdigest(),
        "pixel_size_um": sample.pixel_size_um,
        "slide": frame.slide,
        "frame": frame.source.name,
        "frame_sha256": frame.source.sha256,
        "run_id": frame.run.id,
    }


def _annotation(number: int, image: int, record: PseudoLabelRecord, shape: tuple[int, ...]) -> dict[str, Any]:
    height, width = shape
    instance = record.instance
    return {
        "id": number,
        "image_id": image,
        "category_id": CATEGORY["id"],
        "bbox": list(instance.bbox_xywh),
        "area": record.cell.area_px,
        "iscrowd": 0,
        "segmentation": {
            "size": [height, width],
            "counts": rle.encode_in_frame(instance.mask, instance.bbox_xywh, height, width).decode(),
        },
        "score": instance.score,
        "cell_id": record.cell.id,
        "agreement": list(record.judgement.agreement),
    }


def _unknown(number: int, image: int, labels: Array) -> dict[str, Any] | None:
    """Return the pixels that are not trained on as a COCO crowd annotation; None where there are none."""
    mask = labels == UNKNOWN
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]
    return {
        "id": number,
        "image_id": image,
        "category_id": CATEGORY["id"],
        "bbox": box,
        "area": int(mask.sum()),
        "iscrowd": 1,
        "segmentation": {"size": list(mask.shape), "counts": rle.encode(mask).decode()},
    }


def _info(db: Database, samples: PseudoSamples, seed: int) -> dict[str, Any]:
    """Return COCO's own fields, and under ``cacapp`` all that decided the labels."""
    runs = {frame.run.id: frame for frame in samples.frames}
    lineage = []
    with db.reading() as session:
        for run_id, frame in runs.items():
            source = get_run(session, frame.run.source_run_id or 0)
            lineage.append(
                {
                    "run": run_id,
                    "slide": frame.slide,
                    "fingerprint": frame.run.fingerprint,
                    "algorithms": frame.run.algorithms.get("chosen", []),
                    "params": frame.run.params,
                    "segmentation": {
                        "run": source.id,
                        "fingerprint": source.fingerprint,
                        "seed": source.seed,
                        "algorithms": source.algorithms.get("chosen", []),
                        "weights_sha256": source.weights_sha256,
                    },
                }
            )
    finished = max((frame.run.finished_at for frame in runs.values() if frame.run.finished_at), default=None)
    return {
        "description": "Pseudo-labels of nuclei in DAPI; no mask was drawn by a person",
        "version": __version__,
        "contributor": f"cacapp {__version__}",
        "date_created": finished.isoformat() if finished else None,
        "cacapp": {"version": __version__, "seed": seed, "runs": lineage},
    }
