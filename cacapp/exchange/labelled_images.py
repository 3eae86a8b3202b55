"""Images with instance labels: pair the files of two folders, and read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cacapp.exceptions import CacappError, UsageError
from cacapp.frames.channels import canonical_mapping, canonical_names, resolve_channels
from cacapp.frames.choose_reader import scenes_of
from cacapp.frames.file import stem
from cacapp.frames.scene import check_pixels, read_plane, single_dye_sample, slices_as_channels, square_pixel_um
from cacapp.readers.built_in import SUFFIXES
from cacapp.scene import Scene
from cacapp.types import CHANNELS, DAPI, Array, TrainingSample

LABELS_SUFFIX = "_labels"


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """An image and its labels; one of them is None where there is no counterpart."""

    stem: str
    image: Path | None
    labels: Path | None


@dataclass(frozen=True, slots=True)
class Pixels:
    """DAPI plane of an image.

    Attributes:
        dapi: (Y, X) uint8 or uint16.
        pixel_size_um: edge length of a pixel in µm, None where the file does not state it.
    """

    dapi: Array
    pixel_size_um: float | None


@dataclass(frozen=True, slots=True)
class Samples:
    """Labelled images, read when asked for: ``len(samples)``, ``samples[i]``. Raises CacappError for a file that cannot be read."""

    files: Sequence[LabelledFile]
    channels: Mapping[str, str] | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> TrainingSample:
        file = self.files[index]
        if file.image is None or file.labels is None:
            raise CacappError(f"{file.image or file.labels}: has no counterpart")
        pixels, labels = read_dapi(file.image, self.channels), read_labels(file.labels)
        if pixels.dapi.shape != labels.shape:
            raise CacappError(f"{file.image}: {pixels.dapi.shape[::-1]} px, its labels {file.labels.name} are {labels.shape[::-1]} px")
        return TrainingSample(pixels.dapi, labels, pixels.pixel_size_um)

    def __iter__(self) -> Iterator[TrainingSample]:
        return (self[index] for index in range(len(self)))


def labelled_files(images: Path, labels: Path) -> tuple[list[LabelledFile], list[tuple[str, str]]]:
    """Pair the files of two folders by their stems, sorted; return pairs and (stem, error) of ambiguous ones.

    ``_labels`` at the end of a stem and ``.ome`` are ignored. Where a folder of labels holds images too, ``x_labels.tif`` goes before
    ``x.tif``, and that before ``x.ome.tif``. Hidden files and files that are no images are left out; folders are not searched deeper.

    Raises:
        UsageError: a folder does not exist, or no image has labels.
    """
    same = images.resolve() == labels.resolve()
    pictures = _by_stem(images, lambda path: not stem(path).endswith(LABELS_SUFFIX))
    truths = _by_stem(labels, lambda path: not same or stem(path).endswith(LABELS_SUFFIX))
    files, wrong = [], []
    for name in sorted(pictures | truths):
        image, other = _best(pictures.get(name, [])), _best(truths.get(name, []))
        twice = next((found for found in (image, other) if len(found) > 1), None)
        if twice:
            wrong.append((name, _ambiguous(name, twice)))
        else:
            files.append(LabelledFile(name, next(iter(image), None), next(iter(other), None)))
    if not any(f.image and f.labels for f in files):
        raise UsageError(
            f"no image in {images} has labels in {labels}: x.png or x.tif there goes with x.tif, x.png or x{LABELS_SUFFIX}.tif here"
            if pictures
            else f"no images in {images} (read are {', '.join(SUFFIXES)})"
        )
    return files, wrong


def image_files(images: Path) -> tuple[list[LabelledFile], list[tuple[str, str]]]:
    """Return ``labelled_files`` of a folder without labels. Raises UsageError where it does not exist or holds no image."""
    found = {name: _best(paths) for name, paths in _by_stem(images, lambda path: not stem(path).endswith(LABELS_SUFFIX)).items()}
    if not found:
        raise UsageError(f"no images in {images} (read are {', '.join(SUFFIXES)})")
    wrong = [(name, _ambiguous(name, paths)) for name, paths in found.items() if len(paths) > 1]
    return [LabelledFile(name, paths[0], None) for name, paths in found.items() if len(paths) == 1], wrong


def read_dapi(path: Path, channels: Mapping[str, str] | None = None) -> Pixels:
    """Read the DAPI plane of an image of one channel, of an RGB export of a grey image, or of a file with a channel named DAPI.

    Args:
        channels: the user's ``--channels``: canonical name -> found name or ``#position``.

    Raises:
        CacappError: one line that names the file.
    """
    try:
        scene = _scene(path)
        check_pixels(scene)
        index = single_dye_sample(scene) if scene.n_samples > 1 else _dapi_index(scene, channels)
        return Pixels(read_plane(scene, index, 0), square_pixel_um(scene))
    except (CacappError, OSError) as error:
        raise CacappError(f"{path}: {error}") from error


def read_labels(path: Path) -> Array:
    """Read the (Y, X) integer labels of a TIFF or PNG, 0 is background. Raises CacappError, one line that names the file."""
    try:
        scene = _scene(path)
        if len(scene.channels) > 1:
            raise CacappError(f"has {len(scene.channels)} channels; labels are one plane with a number a nucleus")
        if scene.dtype.kind not in "iu":
            raise CacappError(f"pixels are {scene.dtype.name}; labels are whole numbers, one a nucleus: save 16- or 32-bit integers")
        planes = [read_plane(scene, sample, 0) for sample in range(min(scene.n_samples, 3) if scene.n_samples > 2 else 1)]
        if any(not np.array_equal(planes[0], plane) for plane in planes[1:]):
            raise CacappError("a picture in colours; labels are one plane with a number a nucleus: export the numbers")
        if planes[0].min(initial=0) < 0:
            raise CacappError("has negative labels; 0 is background and nuclei count from 1")
        return planes[0]
    except (CacappError, OSError) as error:
        raise CacappError(f"{path}: {error}") from error


def looks_like_a_foreground_mask(labels: Array) -> bool:
    """Return whether (Y, X) labels hold one number in several separate places: then nuclei are not separated."""
    values = labels[labels > 0]
    if not len(values) or values.min() != values.max():
        return False
    return int(cv2.connectedComponents((labels > 0).astype(np.uint8))[0]) > 2


def _by_stem(folder: Path, wanted: Callable[[Path], bool]) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".") and wanted(path):
            found.setdefault(stem(path).removesuffix(LABELS_SUFFIX), []).append(path)
    return found


def _best(paths: list[Path]) -> list[Path]:
    """Return the paths of the best rank: ``x_labels`` before ``x`` before ``x.ome``."""

    def rank(path: Path) -> int:
        return 0 if stem(path).endswith(LABELS_SUFFIX) else 2 if Path(path.stem).suffix.lower() == ".ome" else 1

    return [path for path in paths if rank(path) == min(map(rank, paths))]


def _ambiguous(name: str, paths: list[Path]) -> str:
    return f"{name}: could be {paths[0].name} or {paths[1].name} in {paths[0].parent}; keep one"


def _scene(path: Path) -> Scene:
    scenes = scenes_of(path)
    if len(scenes) > 1:
        raise CacappError(f"holds {len(scenes)} scenes; save the one to measure as a file of its own")
    scene = slices_as_channels(scenes[0]) if scenes[0].slices else scenes[0]
    if scene.n_time > 1 or scene.n_z > 1:
        raise CacappError(f"has {max(scene.n_time, scene.n_z)} planes in {'time' if scene.n_time > 1 else 'z'}; save one plane")
    return scene


def _dapi_index(scene: Scene, channels: Mapping[str, str] | None) -> int:
    if len(scene.channels) == 1:
        return 0
    named = {n: v for n, v in canonical_mapping(channels, CHANNELS).items() if n == DAPI}
    hits = [name for name in scene.channels if canonical_names(name, (DAPI,))]
    if not named and len(hits) == 1:
        named = {DAPI: hits[0]}  # the other channels are not needed here
    return resolve_channels(scene.channels, (DAPI,), named)[DAPI]
