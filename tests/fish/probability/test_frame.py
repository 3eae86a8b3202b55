"""The probability of a CAC: what clear, weak, wide, shared and coinciding dots are worth, by the frame's own dots."""

import numpy as np
import pytest

from cacapp.fish.assay.read import load_assay
from cacapp.fish.probability.frame import FrameProbabilities, weigh
from cacapp.fish.signals.judge import Spots
from cacapp.types import UNSEGMENTED, Array

KATZ = load_assay("katz-4color")
CHANNELS = KATZ.channels
PIXEL_UM = 0.1
NUCLEI = 60
DARK = {c: np.zeros((90, 130), np.uint16) for c in CHANNELS}


class Scene:
    """Nuclei with two copies of each probe, 1,000 grey values high give or take a fifth and 2 px wide, to which dots are added."""

    def __init__(self, nuclei: int = NUCLEI, spread: float = 0.2, seed: int = 1) -> None:
        self.rng, self.nuclei = np.random.default_rng(seed), nuclei
        self.rows: dict[str, list[tuple[int, float, float, float, float, int]]] = {c: [] for c in CHANNELS}
        for cell in range(nuclei):
            for at, channel in enumerate(CHANNELS):
                for copy in range(2):
                    self.add(cell, channel, float(np.exp(self.rng.normal(0, spread))), y=200.0 * cell + 20 * at, x=30.0 + 40 * copy)

    def add(
        self, cell: int, channel: str, height: float, width: float = 2.0, y: float | None = None, x: float = 110.0, other: int = -1
    ) -> None:
        """Add a dot of so many times 1,000 grey values; by default away from all others."""
        down = 200.0 * cell + 20 * CHANNELS.index(channel) if y is None else y
        self.rows[channel].append((cell, 1000 * height, width, down, x, other))

    def spots(self) -> dict[str, Spots]:
        result = {}
        for channel, rows in self.rows.items():
            cell, height, width, y, x, other = (np.array(v) for v in zip(*rows, strict=True))
            n = len(rows)
            height = height.astype(np.float32)
            yx, none, no = np.stack([y, x], axis=1).astype(np.float32), np.full(n, None, object), np.zeros(n, bool)
            slack = np.full(n, 50, np.float32)
            result[channel] = Spots(
                yx, height / 10, height, width.astype(np.float32), cell.astype(np.int32), none, other.astype(np.int32), no, slack
            )
        return result

    def weighed(self, **light: Array) -> FrameProbabilities:
        planes = {c: light.get(c, DARK[c]) for c in CHANNELS}
        return weigh(self.spots(), planes, np.ones(self.nuclei, bool), PIXEL_UM, KATZ)


def spots_of_light(places: list[tuple[float, float]]) -> Array:
    rows, cols = np.mgrid[:90, :130]
    light = sum(800 * np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / 8) for y, x in places)
    return np.asarray(light).astype(np.uint16)


def counted(found: FrameProbabilities, cell: int) -> list[int]:
    return [int((s.counts & (s.cell == cell)).sum()) for s in found.spots.values()]


def with_non_specific(share: float, height: float) -> Scene:
    """A frame in which a share of the nuclei has a dot of this height in green."""
    scene = Scene()
    for cell in range(20, 20 + int(share * NUCLEI)):
        scene.add(cell, "green", height)
    return scene


def test_clear_third_copies_of_two_probes_make_a_cac_and_two_copies_make_none() -> None:
    scene = Scene()
    scene.add(0, "aqua", 1.0)
    scene.add(0, "red", 0.9)
    found = scene.weighed()
    assert found.p_cac[0] > 0.99
    assert found.p_cac[1:].max() < 0.001
    assert counted(found, 0) == [3, 2, 2, 3]
    assert found.terms[1] is None


def test_low_dots_that_many_nuclei_have_are_no_copies() -> None:
    scene = with_non_specific(0.3, 0.35)
    scene.add(0, "green", 0.35)
    scene.add(0, "gold", 0.35)
    found = scene.weighed()
    assert found.p_cac[0] < KATZ.probability.review_above
    assert counted(found, 0) == [2, 2, 2, 2]
    assert "non_specific" in found.spots["green"].reason.tolist()


def test_the_same_dot_is_worth_less_where_such_dots_are_common() -> None:
    values = []
    for share in (0.0, 0.4):
        scene = with_non_specific(share, 0.6)
        scene.add(0, "green", 0.6)
        scene.add(0, "red", 1.0)
        values.append(float(scene.weighed().p_cac[0]))
    assert values[1] < values[0] / 2


def test_a_dot_between_copy_and_non_specific_sends_the_cell_to_review_and_is_named() -> None:
    scene = with_non_specific(0.3, 0.45)
    scene.add(0, "green", 0.6)
    scene.add(0, "red", 1.0)
    found = scene.weighed()
    assert 0.05 < found.p_cac[0] < 0.85
    assert "third green dot: 0." in found.terms[0]
    assert "that it is a copy" in found.terms[0]


def test_where_low_copies_are_wide_a_low_narrow_dot_is_hardly_a_copy() -> None:
    values = {}
    for width in (2.0, 3.4):
        scene = Scene(nuclei=0)
        scene.nuclei = NUCLEI
        for cell in range(NUCLEI):  # one copy in focus, one above it: half as high and 1.7 times as wide
            for at, channel in enumerate(CHANNELS):
                scene.add(cell, channel, 1.0, 2.0, y=200.0 * cell + 20 * at, x=30)
                scene.add(cell, channel, 0.5, 3.4, y=200.0 * cell + 20 * at, x=70)
        for cell in range(20, 35):
            scene.add(cell, "green", 0.4, 2.0)
        scene.add(0, "green", 0.5, width)
        scene.add(0, "red", 1.0, 2.0)
        values[width] = float(scene.weighed().p_cac[0])
    assert values[2.0] < values[3.4] / 2


def test_a_dot_that_a_neighbour_could_own_is_worth_less() -> None:
    values = []
    for other in (-1, 1, UNSEGMENTED):  # nobody's; a nucleus that has its two copies without it; something that is no nucleus
        scene = Scene()
        scene.add(0, "green", 1.0, other=other)
        scene.add(0, "red", 1.0, other=other)
        values.append(float(scene.weighed().p_cac[0]))
    assert values[0] > values[1] > 0.9 > values[2]


def test_dots_too_many_of_two_probes_at_one_place_are_debris_where_a_third_channel_shines_too() -> None:
    scene = Scene()
    scene.add(0, "green", 1.0, y=50.0, x=100.0)
    scene.add(0, "red", 1.0, y=51.0, x=101.0)
    assert scene.weighed().p_cac[0] > 0.99
    debris = {c: spots_of_light([(50, 100)]) for c in CHANNELS}
    assert scene.weighed(**debris).p_cac[0] < 0.5


def test_twice_the_copies_of_every_probe_are_a_cac_by_the_letter() -> None:
    scene = Scene()
    for channel in CHANNELS:
        scene.add(0, channel, 1.0, x=100)
        scene.add(0, channel, 0.9, x=115)
    found = scene.weighed()
    assert found.p_cac[0] > 0.99
    assert counted(found, 0) == [4, 4, 4, 4]


def test_more_dots_than_the_model_takes_stay_counted() -> None:
    scene = Scene()
    for k in range(16):
        scene.add(0, "green", 1.0, x=100 + 10 * k)
    assert counted(scene.weighed(), 0) == [2, 18, 2, 2]


def test_too_few_nuclei_have_no_probability_and_count_as_they_were_judged() -> None:
    found = Scene(nuclei=12).weighed()
    assert np.isnan(found.p_cac).all()
    assert counted(found, 3) == [2, 2, 2, 2]


@pytest.mark.parametrize("name", ["gain-or-loss", "her2-cep17"])
def test_an_assay_of_losses_or_of_a_ratio_has_no_probability(name: str) -> None:
    assay = load_assay(name)
    spots = {c: Scene().spots()[c] for c in assay.channels}
    found = weigh(spots, DARK, np.ones(NUCLEI, bool), PIXEL_UM, assay)
    assert np.isnan(found.p_cac).all()


def test_a_frame_without_a_dot_has_probabilities_near_none() -> None:
    none: Array = np.zeros(0, np.float32)
    empty = Spots(
        np.zeros((0, 2), np.float32), none, none, none, none.astype(np.int32), none.astype(object), none.astype(np.int32), none > 0, none
    )
    found = weigh(dict.fromkeys(CHANNELS, empty), DARK, np.ones(NUCLEI, bool), PIXEL_UM, KATZ)
    assert (found.p_cac < 0.001).all()


def test_granules_that_shine_in_all_channels_hide_the_signals() -> None:
    scene, rng = Scene(nuclei=40), np.random.default_rng(5)
    places = list(zip(rng.uniform(5, 75, 6), rng.uniform(75, 115, 6), strict=True))
    for y, x in places:
        for channel in CHANNELS:
            scene.add(0, channel, 0.8, y=y, x=x)
    found = scene.weighed(**{c: spots_of_light(places) for c in CHANNELS})
    assert found.granular.tolist() == [True] + [False] * 39
    assert found.p_cac[0] < 0.05
    assert counted(found, 0) == [2, 2, 2, 2]
