"""Reader ``example-reader``: the contract of all readers with the truth about a file, and tests of this one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cacapp.frames import Readers, discover
from cacapp.host import Host
from cacapp.testing import ReaderContract, Reference

from cacapp_example.reader import CHANNELS, ExampleReader, save


class TestExampleReader(ReaderContract):
    algorithm = ExampleReader

    def references(self, folder: Path) -> Sequence[Reference]:
        planes = np.random.default_rng(2).integers(90, 4000, (2, 400, 400)).astype(np.uint16)
        path = save(folder / "truth.npz", planes, 0.25)
        return [Reference(path, 1, CHANNELS, (0.25, 0.25), pixels=planes[:, None])]


def test_cacapp_reads_a_frame_with_it(tmp_path: Path) -> None:
    planes = np.random.default_rng(3).integers(90, 4000, (2, 60, 80)).astype(np.uint16)
    save(tmp_path / "f01.npz", planes)
    (frame,) = discover([tmp_path], required=CHANNELS, installed=Readers(Host.discover))
    assert (frame.reader, frame.reader_version) == ("example-reader", "cacapp-example 0.1.0")
    assert frame.pixel_size_um == 0.2
