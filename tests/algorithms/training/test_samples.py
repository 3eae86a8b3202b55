"""Training samples at working scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cacapp.algorithms.training.samples import prepare
from cacapp.exceptions import CacappError
from cacapp.types import UNKNOWN, Array, TrainingSample


class Heard:
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def start(self, what: str, total: int) -> None:
        return None

    def advance(self, note: str = "", by: int = 1) -> None:
        return None

    def warn(self, line: str) -> None:
        self.warnings.append(line)


def disks(diameter_px: float, shape: tuple[int, int] = (400, 300), count: int = 9, dtype: type = np.uint16) -> TrainingSample:
    """Bright disks on a grid, labelled in steps of ten."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for n in range(count):
        y, x = shape[0] * (n // 3 + 0.5) / 3, shape[1] * (n % 3 + 0.5) / 3
        labels[np.hypot(rows - y, columns - x) < diameter_px / 2] = 10 * (n + 1)
    return TrainingSample(np.where(labels > 0, 200, 20).astype(dtype), labels)


def areas(labels: Array) -> Array:
    return np.bincount(labels[labels > 0].ravel())[1:]


@pytest.mark.parametrize("diameter_px", [16, 32, 70])
def test_nuclei_of_any_size_are_32_px_across(tmp_path: Path, diameter_px: float) -> None:
    sets = prepare([disks(diameter_px)] * 2, tmp_path, 32.0, 0, Heard())
    grey, labels = sets.learn[0].read()
    assert np.allclose(np.sqrt(areas(labels) * 4 / np.pi), 32, rtol=0.04)
    assert sorted(np.unique(labels)) == list(range(10))
    assert (grey.min(), grey.max()) == (0, 255)
    assert sets.nuclei == 18


def test_a_frame_with_few_nuclei_takes_the_scale_of_the_others(tmp_path: Path) -> None:
    sets = prepare([disks(60), disks(20, count=1)], tmp_path, 30.0, 0, Heard())
    both = [one.read()[1] for one in (*sets.learn, *sets.validation)]
    found = sorted(float(np.median(np.sqrt(areas(labels) * 4 / np.pi))) for labels in both)
    assert found == pytest.approx([30 * 20 / 40, 30], rel=0.04)  # the median of 60 and 20 px is 40 px


def test_unknown_pixels_stay_unknown_in_prepared_samples(tmp_path: Path) -> None:
    sample = disks(32)
    sample.labels[:100] = UNKNOWN
    sets = prepare([sample, sample], tmp_path, 32.0, 0, Heard())
    assert np.mean(sets.learn[0].read()[1] == UNKNOWN) == pytest.approx(0.25, abs=0.02)


def test_frames_are_learnt_or_held_never_both_and_the_seed_decides(tmp_path: Path) -> None:
    samples = [disks(30 + n) for n in range(8)]
    once, again, other = (prepare(samples, tmp_path / str(seed), 32.0, seed, Heard()) for seed in (1, 1, 5))
    assert len(once.validation) == 1
    assert len(once.learn) == 7
    assert {one.path for one in once.validation} & {one.path for one in once.learn} == set()
    assert [one.path for one in once.validation] == [one.path for one in again.validation]
    assert once.digest == again.digest == other.digest
    assert len({prepare(samples, tmp_path, 32.0, seed, Heard()).validation[0].path for seed in range(5)}) > 1


def test_a_strip_of_a_single_frame_is_held_out(tmp_path: Path) -> None:
    sets = prepare([disks(32, (600, 300), 9)], tmp_path, 32.0, 0, Heard())
    (learn,), (validation,) = sets.learn, sets.validation
    assert sorted([*learn.rows, *validation.rows])[::3] == [0, learn.height_px + validation.height_px]
    assert len(learn.centres_yx) + len(validation.centres_yx) == 9
    assert (validation.centres_yx[:, 0] < validation.height_px).all()


def test_an_image_too_small_to_hold_out_a_part_gives_a_warning(tmp_path: Path) -> None:
    heard = Heard()
    sets = prepare([disks(32, (100, 100), 9)], tmp_path, 32.0, 0, heard)
    assert sets.validation == sets.learn
    assert "validated on what it learns from" in heard.warnings[0]


@pytest.mark.parametrize("count", [0, 3])
def test_without_an_accepted_label_there_is_a_clear_error(tmp_path: Path, count: int) -> None:
    empty = TrainingSample(np.zeros((50, 50), np.uint8), np.full((50, 50), UNKNOWN, np.int32))
    with pytest.raises(CacappError, match=f"none of the {count} training images has an accepted label.*cacapp pseudo-label --stats"):
        prepare([empty] * count, tmp_path, 32.0, 0, Heard())


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "00000.npy.part").symlink_to("/dev/full")
    with pytest.raises(CacappError, match=r"00000\.npy cannot be written: the disk is full; make room"):
        prepare([disks(32)], tmp_path, 32.0, 0, Heard())
