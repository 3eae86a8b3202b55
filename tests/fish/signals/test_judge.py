"""Which dots count: split dots, debris, bleed-through, weak dots, and the weak true signal that survives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.read import load_assay
from cacapp.fish.signals.counts import count_signals, flip_costs, nuclei_with_signals_in_overlaps
from cacapp.fish.signals.crosstalk import estimate_share
from cacapp.fish.signals.judge import judge_spots
from cacapp.types import Instance, Signals

KATZ = load_assay("katz-4color")
PIXEL_UM = 0.1  # a signal diameter of 0.8 µm is 8 px
NOISE = 10.0


def nucleus(left: int, top: int = 0, side: int = 100) -> Instance:
    return Instance((left, top, side, side), np.ones((side, side), bool))


def dots(*rows: tuple[float, float, float], noise: float = NOISE) -> Signals:
    """(y, x, amplitude) each."""
    table = np.array(rows, np.float32).reshape(-1, 3)
    amplitude = table[:, 2]
    return Signals(table[:, :2], amplitude / np.float32(noise), amplitude, np.full(len(table), 2, np.float32))


def judge(nuclei=None, pixel_size_um: float | None = PIXEL_UM, assay: Assay = KATZ, **channels: Signals):
    candidates = {c: channels.get(c, Signals.empty()) for c in assay.channels}
    return judge_spots(candidates, nuclei or [nucleus(0)], pixel_size_um, assay)


def reasons(spots, channel: str) -> list[str | None]:
    return spots[channel].reason.tolist()


def test_a_normal_nucleus_has_two_of_each() -> None:
    spots = judge(
        aqua=dots((10, 10, 900), (80, 80, 800)),
        green=dots((10, 40, 900), (40, 80, 800)),
        gold=dots((60, 10, 900), (80, 30, 800)),
        red=dots((30, 30, 900), (50, 50, 800)),
    )
    assert count_signals(spots, 1, KATZ).tolist() == [[2, 2, 2, 2]]


@pytest.mark.parametrize(("distance", "count"), [(2.0, 1), (7.9, 1), (8.0, 2), (12.0, 2)])
def test_two_dots_closer_than_a_diameter_are_one_signal(distance: float, count: int) -> None:
    spots = judge(aqua=dots((50, 50, 700), (50, 50 + distance, 900)))
    assert count_signals(spots, 1, KATZ)[0, 0] == count
    assert reasons(spots, "aqua") == (["split_of", None] if count == 1 else [None, None])


def test_without_a_pixel_size_the_diameter_in_pixels_holds() -> None:
    assert KATZ.signals.diameter_px == 6.5
    for distance, count in ((6.4, 1), (6.6, 2)):
        spots = judge(aqua=dots((50, 50, 700), (50, 50 + distance, 900)), pixel_size_um=None)
        assert count_signals(spots, 1, KATZ)[0, 0] == count


def test_in_a_chain_of_dots_the_strongest_are_decided_first() -> None:
    # The middle one is the strongest: both ends are its split parts. With a strong end, the far end is a signal of its own.
    assert reasons(judge(aqua=dots((50, 44, 700), (50, 50, 900), (50, 56, 800))), "aqua") == ["split_of", None, "split_of"]
    assert reasons(judge(aqua=dots((50, 44, 900), (50, 50, 800), (50, 56, 700))), "aqua") == [None, "split_of", None]


def test_near_dots_of_two_nuclei_are_two_signals() -> None:
    spots = judge([nucleus(0), nucleus(100)], aqua=dots((50, 98, 900), (50, 101, 900)))
    assert count_signals(spots, 2, KATZ)[:, 0].tolist() == [1, 1]
    assert spots["aqua"].ambiguous.tolist() == [True, True]


def test_a_dot_outside_all_nuclei_counts_nowhere() -> None:
    spots = judge(aqua=dots((50, 150, 900)))
    assert reasons(spots, "aqua") == ["outside"]
    assert spots["aqua"].cell.tolist() == [-1]
    assert count_signals(spots, 1, KATZ).sum() == 0


def test_a_dot_below_the_minimum_snr_does_not_count() -> None:
    at, below = KATZ.probes[0].min_snr * NOISE, KATZ.probes[0].min_snr * NOISE - 1
    assert reasons(judge(aqua=dots((10, 10, at), (50, 50, below))), "aqua") == [None, "below_min_snr"]


def test_a_snr_that_is_no_number_does_not_count() -> None:
    one = dots((10, 10, 900))
    spots = judge(aqua=Signals(one.yx, np.array([np.nan], np.float32), one.amplitude, one.sigma_px))
    assert reasons(spots, "aqua") == ["below_min_snr"]


@pytest.mark.parametrize(("offset", "debris"), [(0.0, True), (3.9, True), (4.1, False)])
def test_a_dot_at_the_same_place_in_all_channels_is_debris_in_all(offset: float, debris: bool) -> None:
    # "The same place" ends at half a diameter, 4 px. The second dot of each channel stands alone.
    shift = {"aqua": 0.0, "green": 0.0, "gold": offset, "red": 0.0}
    spots = judge(**{c: dots((50, 50 + shift[c], 900), (10, 10 + 20 * i, 900)) for i, c in enumerate(KATZ.channels)})
    for channel in KATZ.channels:
        assert reasons(spots, channel) == ["debris" if debris else None, None]


def test_a_dot_much_brighter_than_the_frames_signals_is_debris() -> None:
    usual = [(12.0 + 10 * (i % 8), 12.0 + 20 * (i // 8), 900.0) for i in range(32)]
    spots = judge(aqua=dots(*usual, (50, 95, 9 * 900)))
    assert reasons(spots, "aqua") == [None] * 32 + ["debris"]
    assert reasons(judge(aqua=dots(*usual[:9], (50, 95, 9 * 900))), "aqua")[-1] is None, "too few dots to tell what is usual"


def test_a_bright_or_wide_dot_across_the_border_of_a_nucleus_is_debris_and_a_usual_one_is_not() -> None:
    usual = [(12.0 + 10 * (i % 8), 12.0 + 20 * (i // 8), 900.0) for i in range(32)]
    for amplitude, width, reason in ((900, 2, None), (4.5 * 900, 2, "debris"), (900, 4, "debris")):
        across = dots(*usual, (50, 102, amplitude))
        across.sigma_px[-1] = width
        assert reasons(judge(aqua=across), "aqua")[-1] == reason
    inside = dots(*usual, (50, 95, 4.5 * 900))
    assert reasons(judge(aqua=inside), "aqua")[-1] is None


def test_a_dot_at_the_same_place_in_three_channels_is_three_signals() -> None:
    here = dots((50, 50, 900))
    assert count_signals(judge(aqua=here, green=here, red=here), 1, KATZ).tolist() == [[1, 1, 0, 1]]


def test_two_true_signals_and_their_bleed_through_are_no_debris() -> None:
    # Aqua and red cross; green and gold hold only their light. Taken for debris, two true signals would be lost.
    spots = judge(aqua=dots((50, 50, 4000)), green=dots((50, 50, 200)), gold=dots((50, 50, 160)), red=dots((50, 50, 4000)))
    assert count_signals(spots, 1, KATZ).tolist() == [[1, 0, 0, 1]]
    assert reasons(spots, "green") == reasons(spots, "gold") == ["bleed_through"]


@pytest.mark.parametrize(
    ("amplitude", "offset", "reason"), [(200, 0, "bleed_through"), (600, 0, None), (200, 1.9, "bleed_through"), (200, 3, None)]
)
def test_a_weak_dot_under_a_strong_one_of_the_neighbouring_dye_is_bleed_through(amplitude: float, offset: float, reason) -> None:
    # max_share 0.15 of 2000 is 300; "under" ends at a quarter of a diameter, 2 px.
    spots = judge(gold=dots((50, 50, 2000)), red=dots((50, 50 + offset, amplitude)))
    assert reasons(spots, "red") == [reason]
    assert reasons(spots, "gold") == [None]


def test_dyes_that_are_no_neighbours_do_not_bleed() -> None:
    assert reasons(judge(aqua=dots((50, 50, 4000)), red=dots((50, 50, 100))), "red") == [None]


def many_donors(share: float, rng: np.random.Generator, n: int = 200) -> tuple[Signals, Signals]:
    """Gold dots on a grid with their light in red."""
    places = np.stack(np.divmod(np.arange(n), 20), 1) * 40 + 20
    gold = rng.uniform(1500, 4000, n)
    red = share * gold + rng.normal(0, NOISE, n)
    return dots(*np.column_stack([places, gold])), dots(*np.column_stack([places, red]))


@pytest.mark.parametrize("share", [0.04, 0.07, 0.10])
def test_the_share_is_estimated_from_the_frame(share: float) -> None:
    gold, red = many_donors(share, np.random.default_rng(1))
    pair = KATZ.signals.bleed_through.pairs[2]
    learnt = estimate_share(gold, red, pair, 2.0, 30)
    assert learnt.typical == pytest.approx(share, rel=0.03)
    assert share < learnt.highest < share * 1.4
    assert learnt.n_donors > 100


def test_too_few_bleeding_signals_leave_the_assays_share() -> None:
    gold, red = many_donors(0.07, np.random.default_rng(1), n=29)
    pair = KATZ.signals.bleed_through.pairs[2]
    learnt = estimate_share(gold, red, pair, 2.0, 30)
    assert (learnt.typical, learnt.highest, learnt.n_donors) == (pair.max_share, pair.max_share, 0)


def test_the_estimated_share_never_exceeds_the_assays() -> None:
    gold, red = many_donors(0.14, np.random.default_rng(2))
    pair = KATZ.signals.bleed_through.pairs[2]
    assert estimate_share(gold, red, pair, 2.0, 30).highest <= pair.max_share


def test_a_weak_true_signal_under_a_strong_one_survives_where_the_frame_bleeds_little() -> None:
    gold, red = many_donors(0.05, np.random.default_rng(3))
    # 450 under 4000 is 11 %: below the assay's 15 %, well above the 5 % of this frame.
    gold.amplitude[7], red.amplitude[7] = 4000, 450
    red.snr[7] = 45
    field = [Instance((0, 0, 900, 900), np.ones((900, 900), bool))]
    spots = judge(field, gold=gold, red=red)
    assert spots["red"].reason[7] != "bleed_through"
    bleed = [r in ("bleed_through", "below_min_snr") for i, r in enumerate(spots["red"].reason) if i != 7]
    assert np.mean(bleed) > 0.98


def test_true_signals_near_many_bleeding_signals_do_not_shift_the_share() -> None:
    rng = np.random.default_rng(4)
    gold, red = many_donors(0.06, rng)
    own = rng.random(len(red)) < 0.2
    red.amplitude[own] = rng.uniform(1000, 3000, own.sum())
    assert estimate_share(gold, red, KATZ.signals.bleed_through.pairs[2], 2.0, 30).typical == pytest.approx(0.06, rel=0.05)


def test_a_speck_far_below_the_nucleus_own_signals_does_not_count() -> None:
    # The mean of the two brightest is 1900, a quarter of it 475.
    spots = judge(aqua=dots((10, 10, 2000), (50, 50, 1800), (80, 80, 470), (80, 20, 480)))
    assert reasons(spots, "aqua") == [None, None, "weak_relative", None]


def test_weak_is_relative_to_the_own_nucleus_not_to_the_frame() -> None:
    spots = judge([nucleus(0), nucleus(200)], aqua=dots((10, 10, 4000), (50, 50, 4000), (50, 250, 400), (80, 280, 500)))
    assert count_signals(spots, 2, KATZ)[:, 0].tolist() == [2, 2]


def test_a_bright_speck_that_does_not_count_makes_no_signal_weak() -> None:
    # Outside the nucleus, however bright.
    spots = judge(aqua=dots((50, 180, 60000), (10, 10, 900), (50, 50, 700)))
    assert count_signals(spots, 1, KATZ)[0, 0] == 2


def test_a_diffuse_signal_counts_once() -> None:
    one = dots((50, 50, 300))
    spots = judge(aqua=Signals(one.yx, one.snr, one.amplitude, np.array([6], np.float32)))
    assert count_signals(spots, 1, KATZ)[0, 0] == 1


def test_a_counted_signal_in_an_overlap_spoils_both_nuclei() -> None:
    nuclei = [nucleus(0), nucleus(90), nucleus(300)]
    spots = judge(nuclei, aqua=dots((50, 95, 900), (50, 350, 900)))
    assert nuclei_with_signals_in_overlaps(spots, 3).tolist() == [True, True, False]
    assert not nuclei_with_signals_in_overlaps(judge(nuclei, aqua=dots((50, 95, 20))), 3).any()


def costs_of(*rows: tuple[float, float, float]) -> tuple[float, float]:
    lose, gain = flip_costs(judge([nucleus(0), nucleus(200)], aqua=dots(*rows)), 2, KATZ)
    assert np.isinf([lose[1, 0], gain[1, 0]]).all()
    return float(lose[0, 0]), float(gain[0, 0])


def test_losing_a_signal_costs_its_weakest_dots_excess_and_gaining_one_costs_the_best_rejected_dots_shortfall() -> None:
    # The mean of the two brightest is 800, a quarter of it an SNR of 20: that is above the minimum of 8.
    assert costs_of((10, 10, 900), (50, 50, 700), (80, 80, 75), (80, 20, 150)) == pytest.approx((70 - 20, 20 - 15))
    # Alone and dim, the minimum SNR decides: a quarter of 100 is less.
    assert costs_of((10, 10, 100), (80, 80, 75)) == pytest.approx((10 - 8, 0.5))


def test_the_certainty_that_two_near_dots_are_one_is_that_of_their_places() -> None:
    # 7.9 of 8 px apart at an SNR of 90 and 80: their distance is known to 2 px / 90 and 2 px / 80.
    gain = costs_of((50, 50, 900), (50, 57.9, 800))[1]
    assert gain == pytest.approx(0.1 / np.hypot(2 / 90, 2 / 80), rel=1e-3)
    assert costs_of((50, 50, 900), (50, 58.1, 800))[0] == pytest.approx(gain, rel=1e-3)


def test_a_dot_outside_or_debris_can_not_be_gained() -> None:
    here = dots((50, 50, 900))
    spots = judge(aqua=here, green=here, gold=here, red=here)
    assert np.isinf(flip_costs(spots, 1, KATZ)).all()


def test_wrong_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="candidates of aqua; assay katz-4color has"):
        judge_spots({"aqua": dots()}, [nucleus(0)], None, KATZ)


def test_no_dots_at_all_are_zeros() -> None:
    assert count_signals(judge([nucleus(0), nucleus(200)]), 2, KATZ).tolist() == [[0] * 4] * 2


def field_of_view(rng: np.random.Generator, n_nuclei: int, per_channel: int):
    side = int(np.ceil(np.sqrt(n_nuclei)))
    nuclei = [nucleus(100 * (i % side) + 10, 100 * (i // side) + 10, 80) for i in range(n_nuclei)]
    rows = [np.column_stack([rng.uniform(0, 100 * side, (per_channel, 2)), rng.uniform(50, 4000, per_channel)]) for _ in range(4)]
    return nuclei, {c: dots(*r) for c, r in zip(KATZ.channels, rows, strict=True)}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_dots_and_nuclei_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nuclei, candidates = field_of_view(rng, 9, 150)
    expected = count_signals(judge_spots(candidates, nuclei, 0.12, KATZ), 9, KATZ)
    shuffled = {c: s.take(rng.permutation(len(s))) for c, s in candidates.items()}
    order = rng.permutation(9)
    got = count_signals(judge_spots(shuffled, [nuclei[i] for i in order], 0.12, KATZ), 9, KATZ)
    assert (got == expected[order]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_counted_signals_are_inside_strong_enough_and_a_diameter_apart(seed: int) -> None:
    nuclei, candidates = field_of_view(np.random.default_rng(seed), 4, 120)
    spots = judge_spots(candidates, nuclei, 0.12, KATZ)
    for probe in KATZ.probes:
        s = spots[probe.channel]
        kept = s.counts
        assert (s.cell[kept] >= 0).all()
        assert (s.snr[kept] >= probe.min_snr).all()
        for cell in range(4):
            own = s.yx[kept & (s.cell == cell)].astype(float)
            apart = np.hypot(*(own[:, None] - own[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(own))
            assert (apart >= KATZ.signals.diameter_um / 0.12 - 1e-4).all()


def test_a_nucleus_with_two_hundred_specks_is_counted_without_an_error() -> None:
    rng = np.random.default_rng(6)
    specks = dots(*np.column_stack([rng.uniform(0, 100, (200, 2)), rng.uniform(500, 900, 200)]))
    assert 20 < count_signals(judge(aqua=specks), 1, KATZ)[0, 0] < 200


@pytest.mark.parametrize(("median", "least"), [(20, 6.0), (100, 100 * np.exp(-4 * 0.5)), (400, 16.0)])
def test_the_threshold_lies_where_the_frames_own_signals_end_and_near_the_probes(median: float, least: float) -> None:
    from cacapp.fish.signals.judge import least_snr

    snr = median * np.exp(0.5 * np.random.default_rng(4).standard_normal(20_000))
    rules = KATZ.signals.model_copy(update={"snr_tail": 4.0})
    assert least_snr(snr, 8.0, rules) == pytest.approx(least, rel=0.05)
    assert least_snr(snr[:50], 8.0, rules) == 8.0, "too few to tell"
    assert least_snr(snr, 8.0, rules.model_copy(update={"snr_tail": 0.0})) == 8.0
