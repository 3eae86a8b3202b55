"""The size of nuclei is estimated from the image."""

import cv2
import numpy as np
import pytest

from cacapp.algorithms.dense.scale import Candidate, find_scale


def plane(diameter, side=600, glow=False):
    image = np.full((side, side), 100, np.float32)
    step = int(diameter * 1.8)
    for y in range(step, side - step, step):
        for x in range(step, side - step, step):
            cv2.circle(image, (x, y), round(diameter / 2), 800, -1)
    if glow:
        yy, xx = np.mgrid[:side, :side]
        image += 5000 * np.exp(-((yy - side / 2) ** 2 + (xx - side / 2) ** 2) / (2 * (side / 5) ** 2))
    return image.astype(np.uint16)


def network_that_sees(diameter, tolerance=2.2):
    """Sees the true nuclei at scales within a factor of ``tolerance``, and nothing at others."""
    seen = []

    def look(part, size):
        seen.append(size)
        if not 1 / tolerance < size / diameter < tolerance:
            return Candidate(np.zeros(0), np.zeros(0))
        return Candidate(np.full(30, float(diameter)), np.full(30, 0.9))

    look.seen = seen
    return look


@pytest.mark.parametrize("diameter", [10, 24, 60])
def test_the_first_guess_is_corrected_to_what_is_seen(diameter):
    look = network_that_sees(diameter)
    assert find_scale(plane(diameter), look) == pytest.approx(diameter, rel=0.2)


def test_bright_cytoplasm_that_hides_the_size_is_tolerated():
    look = network_that_sees(20, tolerance=1.9)
    assert find_scale(plane(20, glow=True), look) == pytest.approx(20, rel=0.9)


def test_without_nuclei_at_any_scale_there_is_no_size():
    assert find_scale(np.full((64, 64), 7, np.uint8), lambda part, size: Candidate(np.zeros(0), np.zeros(0))) == 0


def test_only_a_part_of_a_large_frame_is_looked_at():
    sizes = []

    def look(part, size):
        sizes.append((part.shape, size))
        return Candidate(np.full(30, 10.0), np.full(30, 0.9))

    find_scale(plane(10, side=1200), look)
    assert all(max(shape) <= 24 * size + 1 for shape, size in sizes)
    assert max(sizes[-1][0]) < 1200
