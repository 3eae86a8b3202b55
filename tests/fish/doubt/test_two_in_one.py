"""Two nuclei in one outline are doubted as a CAC; a tetraploid nucleus is not."""

import cv2
import numpy as np

from cacapp.arrays.background import levels
from cacapp.fish.assay.read import load_assay
from cacapp.fish.calls import call_cells
from cacapp.fish.doubt.two_in_one import part_of_a_nucleus, seam_threshold, two_nuclei, without_concavity_or_seam
from cacapp.fish.signals.counts import count_signals
from cacapp.fish.signals.judge import judge_spots
from cacapp.types import Instance, Signals
from tests.fish.evidence import evidence_of

KATZ = load_assay("katz-4color")
SIDE = 120
ROWS, COLS = np.mgrid[:SIDE, :SIDE]
PLACES = [(45, 35), (75, 35), (45, 85), (75, 85)]  # two left, two right


def disk(x: float, radius: float) -> np.ndarray:
    return (ROWS - 60) ** 2 + (COLS - x) ** 2 <= radius**2


def doubted(*scene_of, **given) -> list[int]:
    return np.flatnonzero(two_nuclei(scene(*scene_of, **given))[0]).tolist()


def scene(last: np.ndarray, mask: np.ndarray, copies: int, usual_px: int = 30):
    """30 normal nuclei, ``usual_px`` in radius, and a last one with this light and as many signals of each probe, in the places above."""
    light, nuclei, dots = np.zeros((SIDE * 2, SIDE * 16), np.float32), [], []
    for i in range(31):
        top, left = SIDE * (i // 16), SIDE * (i % 16)
        own = disk(60, usual_px + i % 5) if i < 30 else mask
        light[top : top + SIDE, left : left + SIDE] = 5000.0 * own if i < 30 else last
        nuclei.append(Instance((left, top, SIDE, SIDE), own))
        dots += [(top + y, left + x) for y, x in PLACES[: copies if i == 30 else 2]]
    dapi = np.random.default_rng(0).poisson(cv2.GaussianBlur(light, (0, 0), 1) + 300).astype(np.uint16)
    n = len(dots)
    # each probe beside the others' places, or they would be debris
    shifted = {c: np.array(dots, np.float32) + np.float32(9 * k - 13) * np.array([1, 0], np.float32) for k, c in enumerate(KATZ.channels)}
    tall, wide = np.full(n, 900, np.float32), np.full(n, 2, np.float32)
    spots = judge_spots({c: Signals(yx, tall / 10, tall, wide) for c, yx in shifted.items()}, nuclei, 0.12, KATZ)
    counts = count_signals(spots, 31, KATZ)
    assert counts[30].tolist() == [copies] * 4
    background = levels(dapi).background
    threshold = seam_threshold(dapi, background, nuclei, np.arange(31) < 30)
    picture = {"nuclei": nuclei, "dapi": dapi, "background": background, "seam_threshold": threshold, "spots": spots}
    return evidence_of(counts, KATZ, **picture)


def test_two_normal_nuclei_that_overlap_are_doubted() -> None:
    left, right = disk(38, 32), disk(82, 32)
    assert doubted(4000.0 * left + 4000.0 * right, left | right, 4) == [30]


def test_a_tetraploid_nucleus_of_uniform_light_is_not_doubted() -> None:
    assert not doubted(5000.0 * disk(60, 45), disk(60, 45), 4)


def test_a_normal_nucleus_with_a_seam_is_no_matter() -> None:
    left, right = disk(38, 32), disk(82, 32)
    assert not doubted(4000.0 * left + 4000.0 * right, left | right, 2)


def test_less_than_a_third_of_the_frames_nuclei_may_be_a_part_of_one() -> None:
    nuclei = [Instance((0, 0, n, n), np.ones((n, n), bool)) for n in [40] * 25 + [24, 20]]
    counts = [[3, 3, 2, 2]] * 27
    assert np.flatnonzero(part_of_a_nucleus(evidence_of(counts, KATZ, nuclei=nuclei))[0]).tolist() == [26]
    assert not part_of_a_nucleus(evidence_of(counts[-5:], KATZ, nuclei=nuclei[-5:]))[0].any(), "too few to tell what is usual"
    normal = evidence_of([[2, 2, 2, 2]] * 27, KATZ, nuclei=nuclei)
    assert not part_of_a_nucleus(normal)[0].any(), "only a CAC's extra copies are in doubt"


def test_a_cac_that_may_be_two_nuclei_is_uncertain_with_that_reason() -> None:
    left, right = disk(38, 32), disk(82, 32)
    evidence = scene(4000.0 * left + 4000.0 * right, left | right, 4)
    call = call_cells(evidence, (two_nuclei,))[30]
    assert (call.class_, call.is_cac, call.review_reason) == ("uncertain", False, "may be two nuclei")


def test_a_small_nucleus_with_two_concavities_is_hardly_two() -> None:
    pair = disk(33, 27) | disk(87, 27) | ((abs(ROWS - 60) < 18) & (abs(COLS - 60) < 22))
    assert doubted(5000.0 * pair, pair, 4) == [30]
    assert not doubted(5000.0 * pair, pair, 4, usual_px=50)


def test_an_ellipse_has_no_concavity_or_seam_and_touching_disks_or_two_lights_have() -> None:
    ellipse = ((ROWS - 60) / 25) ** 2 + ((COLS - 60) / 50) ** 2 <= 1
    disks = disk(33, 27) | disk(87, 27)
    masks = [ellipse, disks, ellipse]
    lights = [5000.0 * ellipse, 5000.0 * disks, 5000.0 * ellipse * np.where(COLS < 60, 1, 1.6)]
    dapi = np.concatenate([np.random.default_rng(2).poisson(cv2.GaussianBlur(v, (0, 0), 1) + 300) for v in lights], axis=1)
    nuclei = [Instance((SIDE * i, 0, SIDE, SIDE), np.asarray(m)) for i, m in enumerate(masks)]
    every = np.ones(3, bool)
    assert without_concavity_or_seam(dapi, 300, nuclei, every, 0.3).tolist() == [True, False, False]
    assert not without_concavity_or_seam(dapi, 300, nuclei, ~every, 0.3).any(), "only those looked at"
    assert not without_concavity_or_seam(dapi, 300, nuclei, every, float("inf")).any(), "nothing to compare with"
