"""A picture of one dye in colour gives the dye's plane."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cacapp.frames import open_frame
from cacapp.types import CHANNELS

Make = Callable[..., Any]


@pytest.mark.parametrize("tint", [(255, 165, 0), (0, 128, 255), (200, 255, 60), (90, 90, 90)])
def test_a_picture_in_any_tint_gives_its_strongest_plane_and_a_composite_is_refused_by_its_name(
    tmp_path: Path, one_frame: Make, refusal: Make, tint: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(3)
    grey = cv2.GaussianBlur(rng.random((256, 256)), (0, 0), 3)
    grey = 0.0125 + 0.9875 * ((grey - grey.min()) / np.ptp(grey)) ** 40  # mostly dark, as the channel of a probe is
    for name in CHANNELS:
        cv2.imwrite(str(tmp_path / f"f_{name}.png"), np.stack([np.rint(grey * v) for v in tint[::-1]], -1).astype(np.uint8))
    np.testing.assert_array_equal(open_frame(one_frame(tmp_path)).channel("gold"), np.rint(grey * max(tint)).astype(np.uint8))
    mixed = np.stack([grey, grey.T, grey[::-1]], -1) * 255
    cv2.imwrite(str(tmp_path / "f_gold.png"), mixed.astype(np.uint8))
    assert "f_gold.png: an RGB image with different colours" in refusal(tmp_path)
