"""Files of two slides that were given for one are noticed by their names."""

from __future__ import annotations

import pytest

from cacapp.frames.several_slides import groups_numbered_alike
from cacapp.types import FrameSource


def frames(*uris: str) -> list[FrameSource]:
    return [FrameSource(uri, f"/data/{uri}", "", "", "none", 9, 9, "uint8", None, ()) for uri in uris]


@pytest.mark.parametrize(
    ("uris", "groups"),
    [
        (("S01/f0.tif", "S01/f1.tif", "S02/f0.tif", "S02/f1.tif"), ("S01", "S02")),
        (("P1_frame00.ome.tif", "P1_frame01.ome.tif", "P2_frame00.ome.tif", "P2_frame01.ome.tif"), ("P1", "P2")),
        (("P1-07.czi", "P1-08.czi", "P2-07.czi", "P2-08.czi", "P3-01.czi"), ("P1", "P2")),
        (("S01/f0_{channel}.tif", "S01/f1_{channel}.tif", "S02/f0_{channel}.tif", "S02/f1_{channel}.tif"), ("S01", "S02")),
        (("f0.tif", "f1.tif", "f2.tif"), ()),
        (("S01/f0.tif", "S01/f1.tif", "S02/f2.tif", "S02/f3.tif"), ()),
        (("P1_f00.tif", "P1_f01.tif", "P2_f02.tif", "P2_f03.tif"), ()),
        (("S01/f0.tif", "S02/f0.tif"), ()),
        (("a.tif", "b.tif"), ()),
        ((), ()),
    ],
)
def test_groups_that_number_their_frames_alike_are_named(uris: tuple[str, ...], groups: tuple[str, ...]) -> None:
    assert groups_numbered_alike(frames(*uris)) == groups
