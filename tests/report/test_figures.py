"""Pictures: marks sit where the signals are and leave the dots alone; outlines sit on the nucleus's edge, in its class's colour."""

from __future__ import annotations

import time
from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from cacapp.exceptions import CacappError
from cacapp.report import palette
from cacapp.report.contrast import ContrastLimits
from cacapp.report.figures import SignalMark, cell_crops, cell_window, frame_overview, window_side_px
from cacapp.report.pictured import Picture
from cacapp.types import CHANNELS, Array, Instance

SCALE = 160 / 48
Planes = dict[str, Array]
Dots = tuple[SignalMark, ...]


def rgb(picture: Picture) -> Array:
    image = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (picture.height_px, picture.width_px, 3)
    return np.asarray(image[..., ::-1]).astype(int)


def changed(planes: dict[str, Array], mask: Array, limits: ContrastLimits, marks: Sequence[SignalMark], channel: str) -> Array:
    """(Y, X) bool: pixels of a picture that the marks changed."""
    plain = rgb(cell_crops(planes, mask, (), limits, encoding="png")[channel])
    marked = rgb(cell_crops(planes, mask, marks, limits, encoding="png")[channel])
    return np.asarray(np.any(plain != marked, axis=2))


def test_there_is_a_composite_and_a_picture_of_each_channel_in_every_encoding(
    planes: Planes, disk: Array, dots: Dots, limits: ContrastLimits
) -> None:
    for encoding in ("png", "jpeg", "webp"):
        pictures = cell_crops(planes, disk, dots, limits, encoding=encoding)
        assert list(pictures) == ["composite", *CHANNELS]
        assert {rgb(p).shape for p in pictures.values()} == {(160, 160, 3)}
        assert {p.media_type for p in pictures.values()} == {f"image/{encoding}"}


def test_a_mark_is_a_ring_around_its_signal_that_leaves_the_dot_alone(planes: Planes, disk: Array, limits: ContrastLimits) -> None:
    mark = SignalMark("aqua", 16, 30, 1.5)
    y, x = np.nonzero(changed(planes, disk, limits, [mark], "aqua"))
    distance = np.hypot(y - ((16.5) * SCALE - 0.5), x - (30.5 * SCALE - 0.5))
    assert len(y) > 40
    assert abs(y.mean() - (16.5 * SCALE - 0.5)) < 0.5
    assert abs(x.mean() - (30.5 * SCALE - 0.5)) < 0.5
    assert distance.min() > 2 * mark.sigma_px * SCALE  # the dot out to two of its standard deviations


@pytest.mark.slow
def test_a_channel_shows_its_own_marks_only_and_the_composite_all(planes: Planes, disk: Array, dots: Dots, limits: ContrastLimits) -> None:
    aqua = [d for d in dots if d.channel == "aqua"]
    assert changed(planes, disk, limits, aqua, "aqua").any()
    assert changed(planes, disk, limits, aqua, "composite").any()
    for channel in ("DAPI", "green", "gold", "red"):
        assert not changed(planes, disk, limits, aqua, channel).any()


def test_a_signal_that_does_not_count_is_marked_otherwise(planes: Planes, disk: Array, limits: ContrastLimits) -> None:
    counts, not_ = SignalMark("red", 24, 24), SignalMark("red", 24, 24, counted=False)
    ring, cross = (changed(planes, disk, limits, [m], "red") for m in (counts, not_))
    centre = round(24.5 * SCALE - 0.5)
    assert ring[centre, :].any()
    assert not cross[centre, :].any()
    assert cross.any()


def test_dots_have_their_dyes_hue_and_the_outline_lies_on_the_edge(planes: Planes, disk: Array, limits: ContrastLimits) -> None:
    pictures = cell_crops(planes, disk, (), limits, encoding="png")
    red = rgb(pictures["red"])[round(13.5 * SCALE - 0.5), round(22.5 * SCALE - 0.5)]
    assert red[0] > 200
    assert red[1:].max() < 80
    empty = {c: np.full_like(p, 100) for c, p in planes.items()}
    y, x = np.nonzero(rgb(cell_crops(empty, disk, (), limits, encoding="png")["gold"]).sum(axis=2) > 150)
    radius = np.hypot(y - 79.5, x - 79.5)
    assert abs(radius - 18 * SCALE).max() < 2.5
    assert len(y) > 200


def test_two_cells_share_one_contrast_so_a_dimmer_cell_looks_dimmer(planes: Planes, disk: Array, limits: ContrastLimits) -> None:
    dim = {c: (100 + (p.astype(float) - 100) / 2).clip(0).astype(np.uint16) for c, p in planes.items()}
    for channel in ("DAPI", "aqua"):
        full, half = (rgb(cell_crops(p, disk, (), limits, encoding="png")[channel])[60:100, 60:100].mean() for p in (planes, dim))
        assert half < 0.75 * full


def test_pictures_of_eight_bit_frames_and_oblong_crops_keep_their_proportions(planes: Planes, disk: Array, limits: ContrastLimits) -> None:
    eight = {c: np.clip(p // 4, 0, 255).astype(np.uint8)[:24] for c, p in planes.items()}
    assert {(p.width_px, p.height_px) for p in cell_crops(eight, disk[:24], (), limits).values()} == {(160, 80)}


def test_crops_of_different_shape_and_unknown_encodings_are_refused(planes: Planes, disk: Array, limits: ContrastLimits) -> None:
    with pytest.raises(CacappError, match="differ in shape"):
        cell_crops(planes, disk[1:], (), limits)
    with pytest.raises(CacappError, match="'gif'"):
        cell_crops(planes, disk, (), limits, encoding="gif")


def test_fifty_cells_take_a_few_megabytes_at_most(planes: Planes, disk: Array, dots: Dots, limits: ContrastLimits) -> None:
    assert 50 * sum(len(p.data) for p in cell_crops(planes, disk, dots, limits).values()) < 3e6


def test_a_window_lies_inside_the_frame_and_holds_its_cell() -> None:
    side = window_side_px([(0, 0, 20, 31), (5, 5, 40, 22)], margin_px=6)
    assert side == 52
    assert cell_window((100, 200, 20, 30), side, 900, 1000) == (84, 189, 52, 52)
    assert cell_window((0, 0, 20, 31), side, 900, 1000) == (0, 0, 52, 52)
    assert cell_window((980, 869, 20, 31), side, 900, 1000) == (948, 848, 52, 52)
    assert cell_window((3, 3, 9, 9), side, 30, 1000) == (0, 0, 52, 30)


def test_an_overview_outlines_each_nucleus_in_its_classes_colour(disk: Array, limits: ContrastLimits) -> None:
    dapi = np.full((600, 800), 100, np.uint16)
    places = {"normal": (100, 100), "cac": (400, 100), "gain": (100, 400), None: (400, 400)}
    instances = [Instance((x, y, 48, 48), disk) for x, y in places.values()]
    picture = frame_overview(dapi, instances, list(places), limits, width_px=400, encoding="png")
    image = rgb(picture)
    assert (picture.width_px, picture.height_px) == (400, 300)
    for name, (x, y) in places.items():
        edge = image[(y + 24) // 2, (x + 4) // 2 : (x + 9) // 2 + 1]  # the disk's left edge is at x + 5.5
        colour = np.array(palette.of_class(name))
        assert np.abs(edge - colour).sum(axis=1).min() < 150, name
        assert image[(y + 24) // 2, (x + 24) // 2].sum() == 0  # nothing is filled
    assert image[:, 300:].sum() == 0  # nothing is drawn where no nucleus is


def test_only_cacs_are_numbered_and_a_known_pixel_size_gives_a_scale_bar(disk: Array, limits: ContrastLimits) -> None:
    dapi = np.full((600, 800), 100, np.uint16)
    instance = [Instance((100, 100, 48, 48), disk)]

    def beside(name: str, label: int) -> Array:
        return rgb(frame_overview(dapi, instance, [name], limits, labels=[label], encoding="png"))[95:115, 151:190]

    assert not beside("normal", 8).any()
    assert not np.array_equal(beside("cac", 8), beside("cac", 3))
    corner = [rgb(frame_overview(dapi, [], [], limits, pixel_size_um=s, encoding="png"))[-20:, -300:] for s in (None, 0.25)]
    assert not corner[0].any()
    assert (corner[1][12] == 255).all(axis=1).sum() == pytest.approx(200, abs=3)  # 50 µm at 0.25 µm a pixel


def test_an_overview_of_a_full_frame_is_quick(disk: Array) -> None:
    rng = np.random.default_rng(1)
    dapi = rng.integers(0, 4000, (3600, 4128)).astype(np.uint16)
    nuclei = [
        Instance((int(x), int(y), 48, 48), disk) for x, y in zip(rng.integers(0, 4000, 1500), rng.integers(0, 3500, 1500), strict=True)
    ]
    limits = ContrastLimits("frame", {"DAPI": (0, 4000)}, "rule")
    seconds = []
    for _ in range(3):
        start = time.process_time()
        picture = frame_overview(dapi, nuclei, ["normal"] * 1490 + ["cac"] * 10, limits)
        seconds.append(time.process_time() - start)
    assert picture.width_px == 1000
    assert min(seconds) < 0.6  # CPU time, all threads: 0.3 s on a quiet machine
