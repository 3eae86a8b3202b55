"""A nucleus stands where more than half of the segmenters find it, once, and says how many did."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from cacapp import host as guard
from cacapp.algorithms.consensus import Consensus, majority
from cacapp.api import Segmenter
from cacapp.exceptions import CacappError, UsageError
from cacapp.hookspecs import hookimpl
from cacapp.host import Host
from cacapp.types import Array, Instance, Prompts


def box(x: int, y: int = 0, w: int = 10, h: int = 10, score: float = 1.0) -> Instance:
    return Instance((x, y, w, h), np.ones((h, w), bool), score)


def told(found: Sequence[Instance]) -> list[tuple[int, float]]:
    return sorted((i.bbox_xywh[0], round(i.score, 3)) for i in found)


def test_a_nucleus_found_by_two_of_three_segmenters_is_kept_and_one_found_by_one_is_not() -> None:
    found = majority([[box(0), box(30), box(60)], [box(0), box(30)], [box(0), box(90)]])
    assert told(found) == [(0, 1.0), (30, 0.667)]


def test_of_matching_masks_that_of_the_first_named_segmenter_is_kept_whatever_the_scores() -> None:
    assert told(majority([[box(1, score=0.1)], [box(0, score=0.9)]])) == [(1, 1.0)]
    assert told(majority([[box(0)], [box(1)]])) == [(0, 1.0)]


def test_half_of_the_votes_is_no_majority_unless_as_many_are_required() -> None:
    four = [[box(0)], [box(0)], [], []]
    assert majority(four) == []
    assert told(majority(four, votes=2)) == [(0, 0.5)]


def test_masks_that_overlap_too_little_are_two_nuclei() -> None:
    # 10 x 10 px, shifted by 4: IoU 60 / 140
    assert majority([[box(0)], [box(4)]]) == []
    assert len(majority([[box(0)], [box(4)]], iou=0.42)) == 1


def test_without_any_instances_there_is_no_consensus() -> None:
    assert majority([[], [], []]) == []


class Offset(Segmenter):
    """A square nucleus at a place of its own."""

    name: ClassVar[str] = "offset"
    api_version: ClassVar[int] = 1
    x: ClassVar[int] = 0

    def weights_sha256(self) -> str | None:
        return hashlib.sha256(str(self.x).encode()).hexdigest()

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        return [box(self.x)]


class Near(Offset):
    name: ClassVar[str] = "near"
    x: ClassVar[int] = 1


class Far(Offset):
    name: ClassVar[str] = "far"
    x: ClassVar[int] = 20


class Broken(Offset):
    name: ClassVar[str] = "broken"

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        raise RuntimeError("no luck")


@pytest.fixture
def host() -> Host:
    made = Host()
    offered = [Offset, Near, Far, Broken, Consensus]
    made.register(SimpleNamespace(cacapp_segmenters=hookimpl(lambda: offered)), "mine", "acme", "1")
    return made


FRAME = np.zeros((40, 40), np.uint8)


def test_any_installed_segmenters_vote_by_name(host: Host) -> None:
    one = host.build("segmenter", "consensus", {"segmenters": "offset, near, far"})
    assert one.model_dump(mode="json")["segmenters"] == ["offset", "near", "far"]
    for built in (one, pickle.loads(pickle.dumps(one))):
        assert told(guard.segment(built, FRAME, Prompts.empty(), None)) == [(0, 0.667)]  # type: ignore[arg-type]


def test_the_record_changes_with_who_votes(host: Host) -> None:
    digests = {
        host.build("segmenter", "consensus", {"segmenters": s}).weights_sha256() for s in ("offset,near", "near,offset", "offset,far")
    }
    assert len(digests) == 3


def test_a_part_that_fails_is_named(host: Host) -> None:
    built = host.build("segmenter", "consensus", {"segmenters": "offset,broken"})
    with pytest.raises(CacappError, match=r"'consensus' .*'broken' \(plugin 'mine' of acme 1\): failed: RuntimeError: no luck"):
        guard.segment(built, FRAME, Prompts.empty(), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ("offset", "segmenters: "),
        ("offset,offset", "name it once"),
        ("offset,nobody", "no segmenter named 'nobody'"),
        ("offset,consensus", "it is made of itself"),
    ],
)
def test_names_that_cannot_vote_are_refused(host: Host, names: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        host.build("segmenter", "consensus", {"segmenters": names})
