"""TIFF and OME-TIFF: description of a file, and its planes one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from cacapp.exceptions import CacappError
from cacapp.readers.tiff import strips
from cacapp.readers.tiff.ome import OmeImage, directories, parse_ome
from cacapp.readers.tiff.plain import Series, series_of
from cacapp.readers.tiff.planes import check_colour_table, read_page
from cacapp.readers.tiff.structure import REDUCED, SUBFILE, Page, read_pages
from cacapp.scene import Scene, check_plane_size, titles
from cacapp.types import Array

SUFFIXES = (".tif", ".tiff")
_LOSSY = {6, 7, 33003, 33004, 33005, 34712}


def _check_alike(pages: Sequence[Page], what: str) -> None:
    """Raise CacappError where planes of one image differ in size, type or the meaning of values."""
    for page in pages:
        check_plane_size(*page.shape[:2])
        check_colour_table(page)
    kinds = {(page.shape, page.dtype.name): None for page in pages}
    if len(kinds) > 1:
        listed = " and ".join(f"{w} x {h} px {dtype}" for (h, w, _), dtype in kinds)
        raise CacappError(f"planes of {what} differ ({listed[:120]}); export them alike")
    if len({page.one(strips.PHOTOMETRIC, 1) for page in pages}) > 1:
        raise CacappError(f"planes of {what} differ in what a value stands for (some say that 0 is white); export them alike")


def _ome_scene(path: Path, pages: Sequence[Page], image: OmeImage, places: dict[tuple[int, int, int], int], n: int) -> Scene:
    chosen = {at: pages[index] for at, index in places.items()}
    _check_alike(list(chosen.values()), image.key)
    first = chosen[0, 0, 0]
    height, width, samples = first.shape
    if (width, height) != image.size_xy:
        raise CacappError(f"its OME metadata declares images of {image.size_xy[0]} x {image.size_xy[1]} px and it holds {width} x {height}")
    n_channels = max(c for c, _, _ in chosen) + 1
    names = image.channels[:n_channels]
    names += tuple(f"Channel:{n}:{i}" for i in range(len(names), n_channels))

    def read(index: int, z: int) -> Array:
        return read_page(path, chosen[0, z, 0], index) if samples > 1 else read_page(path, chosen[index, z, 0])

    return _scene(first, read, image.key, names, n_time=image.sizes[2], n_z=image.sizes[1], **image.known)


def _scene(page: Page, read: Callable[[int, int], Array], key: str, channels: tuple[str, ...], **known: object) -> Scene:
    height, width, samples = page.shape
    lossy = page.one(strips.COMPRESSION, 1) in _LOSSY
    about = {"key": key, "title": "", "dtype": page.dtype, "height_px": height, "width_px": width, "channels": channels}
    return Scene(**about, read=read, n_samples=samples, exact=not lossy, **known)  # type: ignore[arg-type]


def _ome_scenes(path: Path, pages: Sequence[Page], images: Sequence[OmeImage]) -> list[Scene]:
    if len({image.key for image in images}) != len(images):
        raise CacappError("has OME metadata with two images of one ID; export it again")
    n_samples = [page.shape[2] for page in pages]
    sizes = []
    for image in images:
        ifd = min((b.ifd or 0 for b in image.blocks), default=0)
        samples = n_samples[ifd] if ifd < len(pages) else 1
        sizes.append((image.sizes[0] // samples if image.sizes[0] % samples == 0 else 1, *image.sizes[1:]))
    found = directories(images, sizes, len(pages))
    used = {index for places in found for index in places.values()}
    left = [page for page in pages if page.number not in used and not page.one(SUBFILE, 0) & REDUCED]
    if left:
        raise CacappError(f"has OME metadata for {len(used)} planes and holds {len(used) + len(left)}; export it again")
    return [_ome_scene(path, pages, image, places, n) for n, (image, places) in enumerate(zip(images, found, strict=True))]


def _plain_scene(path: Path, series: Series, n: int) -> Scene:
    _check_alike([page for page, _ in series.pages], f"image {n}")
    first = series.pages[0][0]
    n_slices = series.length("Z") if series.length("C") == 1 and first.shape[2] == 1 else 1
    labels = series.labels if len(series.labels) >= n_slices else ()
    slices = tuple(labels[:n_slices] or [""] * n_slices) if n_slices > 1 else ()
    channels = tuple(f"Channel:{n}:{c}" for c in range(series.length("C"))) if slices else series.names(n)

    def read(index: int, z: int) -> Array:
        colours = first.shape[2] > 1
        page, skip = series.pages[series.number(0 if colours else index, z)]
        return read_page(path, page, index if colours else 0, skip)

    lengths = {"n_time": series.length("T"), "n_z": series.length("Z")}
    return _scene(first, read, f"Image:{n}", channels, slices=slices, **lengths, **series.known)


def tiff_scenes(path: Path) -> list[Scene]:
    """Read the scenes of a TIFF or OME-TIFF.

    Channel names come from the OME-XML, else from what ImageJ, MetaMorph, Micro-Manager or tifffile wrote, else they are placeholders.

    Raises:
        CacappError: the file is empty, truncated, damaged, no TIFF, or one of a set.
    """
    pages = read_pages(path)
    description = pages[0].text()
    if "<!DOCTYPE" in description or "<!ENTITY" in description:
        raise CacappError("has OME metadata that declares entities, which microscopes never write; export it again")
    images = parse_ome(description)
    if images is not None:
        scenes, names = _ome_scenes(path, pages, images), [image.name for image in images]
    else:
        series = series_of(pages, path.stat().st_size)
        scenes, names = [_plain_scene(path, one, n) for n, one in enumerate(series)], [""] * len(series)
    rows = zip(scenes, titles(names), strict=True)
    return [replace(scene, title=title, key=scene.key if title else "") for scene, title in rows]
