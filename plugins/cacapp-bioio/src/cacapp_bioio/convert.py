"""Command ``cacapp-bioio FILE ... --out FOLDER``: converts each scene of each file to an OME-TIFF frame."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

DTYPES = ("uint8", "uint16")


INVENTED_UM = 1.0
"""Default pixel size of some readers of bioio for files without one; it is ignored, since it was not measured."""


class RefusedError(Exception):
    """Error, in one line, for a file that cannot be converted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if every file was converted, else 1, with one line for each failure."""
    parser = argparse.ArgumentParser(prog="cacapp-bioio", description="Converts images that bioio reads to OME-TIFF frames for cacapp.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the frames go")
    parser.add_argument("--force", action="store_true", help="write over what is there")
    given = parser.parse_args(arguments)
    failed = False
    for path in given.files:
        try:
            for frame in convert(path, given.out, given.force):
                print(frame)
        except RefusedError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = True
    return int(failed)


def convert(path: Path, out: Path, force: bool = False) -> Iterator[Path]:
    """Write the scenes of a file; yield the path of each complete frame.

    Raises:
        RefusedError: bioio or cacapp cannot read the file: a time series, RGB, pixels other than 8 or 16 bit.
    """
    if not path.exists():
        raise RefusedError(f"{path}: no such file")
    image = _opened(path)
    several = len(image.scenes) > 1
    for scene in image.scenes:
        image.set_scene(scene)
        name = re.sub(r"[^\w.-]+", "_", f"{path.name.split('.')[0]}_{scene}" if several else path.name.split(".")[0])
        target = out / f"{name}.ome.tif"
        if target.exists() and not force:
            raise RefusedError(f"{target} is there already; give --force, or another --out")
        _write(image, f"{path}, scene {scene}" if several else str(path), path, target)
        yield target


def _opened(path: Path) -> Any:
    from bioio import BioImage

    try:
        image = BioImage(path)
        image.scenes  # noqa: B018 some readers open the file only now
    except Exception as error:  # readers raise various exceptions
        text = " ".join(str(error).split())[:200]
        raise RefusedError(
            f"{path}: bioio cannot read it ({type(error).__name__}: {text}); install its reader, bioio-czi, bioio-lif or bioio-nd2 for one"
        ) from error
    return image


def _write(image: Any, what: str, path: Path, target: Path) -> None:
    sizes = image.dims
    if sizes.T > 1:
        raise RefusedError(f"{what}: a time series of {sizes.T} points; export the one time point to analyse")
    if "S" in sizes.order and sizes.S > 1:
        raise RefusedError(f"{what}: an RGB image; export each dye as a channel of its own, in grey")
    if image.dtype.name not in DTYPES:
        raise RefusedError(f"{what}: pixels are {image.dtype.name}; uint8 and uint16 are read: convert to 16-bit first")
    stack = image.get_image_dask_data("CZYX", T=0)
    planes = (np.asarray(stack[c, z]) for c in range(stack.shape[0]) for z in range(stack.shape[1]))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    try:
        with tifffile.TiffWriter(part, bigtiff=stack.nbytes > 2**31, ome=True) as writer:
            about = {"photometric": "minisblack", "compression": "zlib", "metadata": _metadata(image, path)}
            writer.write(planes, shape=stack.shape, dtype=stack.dtype, **about)
        part.replace(target)
    except Exception as error:  # codecs raise various exceptions
        part.unlink(missing_ok=True)
        raise RefusedError(f"{what}: cannot be converted ({type(error).__name__}: {' '.join(str(error).split())[:200]})") from error


def _metadata(image: Any, path: Path) -> dict[str, Any]:
    """Return the metadata of a frame: names of channels, pixel size in µm if known, and the source file."""
    about = f"converted by cacapp-bioio {version('cacapp-bioio')} with bioio {version('bioio')} from {path.name}, SHA-256 {_sha256(path)}"
    metadata: dict[str, Any] = {"axes": "CZYX", "Channel": {"Name": [str(name) for name in image.channel_names]}, "Description": about}
    for axis in "XYZ":
        size = getattr(image.physical_pixel_sizes, axis, None)
        if size is not None and size > 0 and np.isfinite(size) and size != INVENTED_UM:
            metadata |= {f"PhysicalSize{axis}": float(size), f"PhysicalSize{axis}Unit": "µm"}
    return metadata


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of the files of a folder in the order of their names."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        with file.open("rb") as source:
            while block := source.read(2**22):
                digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
