"""The claims of readers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, cast

import numpy as np

from cacapp.api import Reader
from cacapp.engine import Engine
from cacapp.exceptions import CacappError
from cacapp.frames.digest import sha256_of
from cacapp.host import guard_reader
from cacapp.scene import Scene
from cacapp.testing.claims import ClaimError, Contract, pickled_again, require
from cacapp.types import Array

LAZY_BYTES = 1 << 18
"""A file at least this large is no longer in a reader's buffers when its planes are asked for."""
CUTS = (0.02, 0.3, 0.6, 0.9, 0.999)
"""Where a file is cut off, as shares of its length."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A file with the truth about its first image; None for what is not known.

    Attributes:
        path: the file or folder.
        n_scenes: number of images in it.
        channels: names, in the file's order.
        pixel_size_xy_um, stage_xy_um: as in ``Scene``.
        pixels: (C, Z, Y, X) as stored.
    """

    path: Path
    n_scenes: int | None = None
    channels: tuple[str, ...] | None = None
    pixel_size_xy_um: tuple[float, float] | None = None
    stage_xy_um: tuple[float, float] | None = None
    pixels: Array | None = None


class ReaderContract(Contract):
    """Claims of a reader. Give ``references``, or write files in the reader's ``examples``.

    Attributes:
        files: of the format, where the reader cannot write examples.
    """

    kind: ClassVar[str] = "reader"
    algorithm: ClassVar[type[Reader] | Reader]
    files: ClassVar[tuple[Path, ...]] = ()

    def references(self, folder: Path) -> Sequence[Reference]:
        """Return files with the truth about them, in ``folder`` or elsewhere; here, those of ``files`` and ``examples``, without truth."""
        return [Reference(path) for path in (*type(self).files, *guard_reader.examples(self._reader(), folder))]

    # The claims.

    def test_it_says_of_a_file_what_is_in_it(self) -> None:
        """Images, channel names, pixel size and stage position are those of the references, and stored values only."""
        with self._references() as references:
            for one in references:
                scenes = self._scenes(one.path)
                first, name = scenes[0], one.path.name
                require(one.n_scenes in (None, len(scenes)), f"{name}: {len(scenes)} images, and it has {one.n_scenes}")
                require(one.channels in (None, first.channels), f"{name}: channels {first.channels}, and it has {one.channels}")
                for what in ("pixel_size_xy_um", "stage_xy_um"):
                    found, true = getattr(first, what), getattr(one, what)
                    fits = true is None or (found is not None and None not in found and np.allclose(found, true, rtol=1e-4))
                    require(fits, f"{name}: {what} {found}, and it has {true}")

    def test_pixels_are_those_of_the_reference(self) -> None:
        """Every plane of every channel has the values that were stored, each time and in any order."""
        with self._references() as references:
            for one in references:
                scene = self._scenes(one.path)[0]
                forward = list(self._planes(one.path, scene))
                backward = [scene.read(c, z) for c in reversed(range(len(scene.channels))) for z in reversed(range(scene.n_z))]
                require(all(map(np.array_equal, forward, backward[::-1])), f"{one.path.name}: a plane differs when it is read again")
                if one.pixels is not None:
                    true = one.pixels.reshape(-1, *one.pixels.shape[-2:])
                    require(np.array_equal(np.stack(forward), true), f"{one.path.name}: pixels differ from the reference")

    def test_planes_are_read_when_they_are_asked_for(self) -> None:
        """To open a file reads no planes: they come from the file as it is when they are asked for."""
        with self._references() as references:
            for one in references:
                large = one.path.is_file() and one.path.stat().st_size >= LAZY_BYTES
                if not large:
                    continue
                path = one.path.with_name(f"overwritten-{one.path.name}")
                shutil.copyfile(one.path, path)
                scene = self._scenes(path)[0]
                true = [plane for one_scene in self._scenes(one.path)[:1] for plane in self._planes(one.path, one_scene)]
                with path.open("r+b") as file:
                    file.write(bytes(path.stat().st_size))
                try:
                    kept = all(map(np.array_equal, self._planes(path, scene), true))
                except (ClaimError, CacappError):
                    continue
                require(not kept or not any(plane.any() for plane in true), f"{one.path.name}: all planes were in memory once it was open")

    def test_it_works_in_another_process(self) -> None:
        """It is pickled to a worker process and reads the same there."""
        one = self._reader()
        again = pickled_again(one)
        with self._references() as references:
            path = references[0].path
            with Engine(1) as engine:
                (outcome,) = engine.run(partial(_sums, again), [path])
            require(outcome.error is None, f"{path.name}, in another process: {outcome.error}")
            require(outcome.result == _sums(one, path), f"{path.name}: another process reads other pixels")

    def test_what_is_no_file_of_its_format_is_refused(self) -> None:
        """An empty file, text, noise, and an empty folder under its name are refused in one line."""
        junk: dict[str, bytes] = {"empty": b"", "text": b"a table;of a patient\n" * 99, "noise": np.random.default_rng(1).bytes(9999)}
        with TemporaryDirectory() as folder:
            for suffix in self._reader().suffixes:
                for name, content in junk.items():
                    path = Path(folder) / f"{name}{suffix}"
                    path.write_bytes(content)
                    self._refused(path)
                path = Path(folder) / f"folder{suffix}"
                path.mkdir()
                self._refused(path)

    def test_a_truncated_file_gives_no_other_pixels(self) -> None:
        """A file that was cut off is refused in one line, when it is opened or at a plane; planes that it gives are the true ones."""
        with self._references() as references:
            for one in (r for r in references if r.path.is_file()):
                true = list(self._planes(one.path, self._scenes(one.path)[0]))
                content = one.path.read_bytes()
                for share in CUTS:
                    path = one.path.with_name(f"cut-{share}-{one.path.name}")
                    path.write_bytes(content[: int(len(content) * share)])
                    self._true_or_refused(path, true)

    def test_files_are_untouched(self) -> None:
        """Reading changes no file and writes none beside it."""
        with self._references() as references:
            for one in references:
                before = sha256_of(one.path), sorted(one.path.parent.iterdir())
                list(self._planes(one.path, self._scenes(one.path)[0]))
                require((sha256_of(one.path), sorted(one.path.parent.iterdir())) == before, f"{one.path.name}: it changed files")

    # Shared by the claims.

    def _reader(self) -> Reader:
        return cast(Reader, self.built())

    @contextmanager
    def _references(self) -> Iterator[Sequence[Reference]]:
        """Give the references as copies in a folder of their own, each in its own. Raises ClaimError where there are none."""
        with TemporaryDirectory() as folder:
            made = Path(folder) / "made"
            made.mkdir()
            found = self.references(made)
            require(found, "no file to try: give --file FILE, or write one in the reader's examples()")
            copies = []
            for number, one in enumerate(found):
                home = Path(folder) / str(number)
                home.mkdir()
                copy: Callable[..., object] = shutil.copytree if one.path.is_dir() else shutil.copyfile
                copy(one.path, home / one.path.name)
                fields = {name: getattr(one, name) for name in one.__dataclass_fields__}
                copies.append(Reference(**fields | {"path": home / one.path.name}))
            yield copies

    def _scenes(self, path: Path) -> list[Scene]:
        try:
            require(guard_reader.claims(self._reader(), path), f"{path.name}: claims() says that it does not read it")
            return guard_reader.scenes(self._reader(), path)
        except CacappError as error:
            raise ClaimError(f"{path.name}: {error}") from error

    def _planes(self, path: Path, scene: Scene) -> Iterator[Array]:
        for channel in range(len(scene.channels)):
            for z in range(scene.n_z):
                try:
                    yield scene.read(channel, z)
                except CacappError as error:
                    raise ClaimError(f"{path.name}: {error}") from error

    def _refused(self, path: Path) -> None:
        reader = self._reader()
        try:
            if not guard_reader.claims(reader, path):
                return
            scenes = guard_reader.scenes(reader, path)
            for scene in scenes:
                scene.read(0, 0)
        except CacappError as error:
            _one_line(path, error)
            return
        raise ClaimError(f"{path.name} is no file of its format, and it gave {len(scenes)} images")

    def _true_or_refused(self, path: Path, true: Sequence[Array]) -> None:
        reader = self._reader()
        try:
            if not guard_reader.claims(reader, path):
                return
            scene = guard_reader.scenes(reader, path)[0]
        except CacappError as error:
            _one_line(path, error)
            return
        places = [(c, z) for c in range(len(scene.channels)) for z in range(scene.n_z)]
        require(len(places) <= len(true), f"{path.name}: {len(places)} planes, and the whole file has {len(true)}")
        for number, (channel, z) in enumerate(places):
            try:
                plane = scene.read(channel, z)
            except CacappError as error:
                _one_line(path, error)
                continue
            require(np.array_equal(plane, true[number]), f"{path.name}: channel {channel} has other pixels than the whole file")


def _one_line(path: Path, error: CacappError) -> None:
    require(str(error).strip() and "\n" not in str(error), f"{path.name}: its refusal is not one line: {error}")


def _sums(reader: Reader, path: Path) -> list[float]:
    """Return the sum of each plane of the first image. Runs in a worker process."""
    scene = guard_reader.scenes(reader, path)[0]
    return [float(scene.read(c, z).sum(dtype=np.float64)) for c in range(len(scene.channels)) for z in range(scene.n_z)]
