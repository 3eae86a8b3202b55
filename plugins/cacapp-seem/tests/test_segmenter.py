"""The adapter against a stand-in that speaks the protocol: no SEEM is installed here."""

from __future__ import annotations

import sys
from pathlib import Path

import cacapp_seem
import numpy as np
import pytest
from cacapp_seem.segmenter import Seem

from cacapp.algorithms.watershed import Watershed
from cacapp.arrays.metrics import match
from cacapp.exceptions import CacappError, UsageError
from cacapp.host import Host
from cacapp.types import Array, Prompts

CENTRES = [(60, 60), (60, 160), (150, 110), (200, 330), (130, 260)]


def frame() -> tuple[Array, Array]:
    """A DAPI plane with five disks apart from each other, and their labels."""
    y, x = np.mgrid[:260, :400]
    labels = np.zeros((260, 400), np.int32)
    for value, (cy, cx) in enumerate(CENTRES, start=1):
        labels[np.hypot(y - cy, x - cx) <= 20] = value
    noise = np.random.default_rng(0).normal(0, 10, labels.shape)
    return np.clip(200 + 2000 * (labels > 0) + noise, 0, 65535).astype(np.uint16), labels


@pytest.mark.parametrize("use", ["points", "boxes", "text"])
@pytest.mark.parametrize("tile_px", [1024, 128])
def test_every_kind_of_question_finds_the_nuclei_whatever_the_tiles(seem: Seem, use: str, tile_px: int) -> None:
    dapi, labels = frame()
    asked = seem.model_copy(update={"use": use, "tile_px": tile_px, "overlap_px": 100})
    found = asked.segment(dapi, Watershed().prompt(dapi, None), None)
    assert match(labels, found).average_precision(0.8) == 1


def test_a_mask_without_a_score_is_not_used(seem: Seem) -> None:
    dapi, _ = frame()
    nowhere = Prompts(np.full((1, 1, 2), 5, np.float32), np.ones((1, 1), np.int8))
    assert seem.segment(dapi, nowhere, None) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [("garbage", r"masks must be \(N, 1024, 1024\) bool"), ("fail", "failed: ValueError: no such words"), ("hang", "took longer than 2 s")],
)
def test_an_answer_that_is_none_is_told_and_the_next_question_is_answered(seem: Seem, text: str, said: str) -> None:
    dapi, _ = frame()
    with pytest.raises(CacappError, match=said):
        seem.model_copy(update={"use": "text", "text": text, "timeout_s": 2.0}).segment(dapi, Prompts.empty(), None)
    assert (
        len(seem.model_copy(update={"use": "text", "timeout_s": 2.0 if text != "hang" else 30.0}).segment(dapi, Prompts.empty(), None)) == 5
    )


@pytest.mark.parametrize("missing", ["python", "server"])
def test_what_is_not_given_is_named(seem: Seem, missing: str) -> None:
    with pytest.raises(UsageError, match=rf"{missing} is empty: no such file; give .*--set seem\.{missing}=FILE"):
        seem.model_copy(update={missing: ""}).segment(frame()[0], Prompts.empty(), None)


def test_the_template_says_what_is_to_be_filled_in() -> None:
    bare = Seem(python=sys.executable, server=str(Path(cacapp_seem.__file__).with_name("template.py")))
    with pytest.raises(CacappError, match=r"load your SEEM in load_seem\(\)"):
        bare.weights_sha256()


def test_cacapp_finds_the_plugin() -> None:
    assert Host.discover().find("segmenter", "seem").distribution == "cacapp-seem"
