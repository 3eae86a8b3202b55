"""Each trouble of real frames is where the truth says, and off unless asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cacapp.simulation import SimulatedFrame, SlideModel, simulate_frame
from cacapp.simulation.dots import Dot
from cacapp.simulation.instrument import draw_instrument
from cacapp.simulation.nucleus import NucleusState
from cacapp.simulation.troubles import LOG_UNIFORM, Troubles
from cacapp.types import CHANNELS, PROBE_CHANNELS, Array

TWO = {"normal": 2}


def ideal(**troubles: Any) -> SlideModel:
    """A slide without noise, blur, bleed-through and dirt, with these troubles."""
    plain = SlideModel(split=0, signal_jitter=0, full_scale_gv=65535).without_light_effects()
    return SlideModel(**{**plain.model_dump(), **troubles})


def frame(model: SlideModel, seed: int = 1, nuclei: int = 2) -> SimulatedFrame:
    instrument = draw_instrument(np.random.default_rng(seed + 100), model)
    return simulate_frame(model, np.random.default_rng(seed), 256, 256, nuclei, {"normal": nuclei}, instrument=instrument)


def of_kind(found: SimulatedFrame, kind: str) -> list[Dot]:
    return [dot for dot in found.dots if dot.kind == kind]


def light_near(plane: Array, dot: Dot, reach: int = 9) -> Array:
    y, x = round(dot.y), round(dot.x)
    return plane[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].astype(float)


def test_a_slide_without_troubles_has_copies_and_nothing_else_inside_nuclei() -> None:
    found = frame(ideal())
    assert not SlideModel().troubled()
    assert Counter(dot.kind for dot in found.dots) == {"copy": 2 * 2 * len(PROBE_CHANNELS)}
    assert {dot.form for dot in found.dots} == {"single"}
    assert {row.state for row in found.truth} == {NucleusState()}


@pytest.mark.parametrize(("ending", "unit"), [("_um", "µm"), ("_gv", "gv"), ("_per_um2", "per µm²"), ("_per_mpx", "per million")])
def test_a_parameter_with_a_unit_in_its_name_has_it_in_its_description(ending: str, unit: str) -> None:
    fields = {name: field.description or "" for name, field in Troubles.model_fields.items() if name.endswith(ending)}
    assert fields
    assert [name for name, description in fields.items() if unit not in description] == []


def test_a_copy_one_half_height_depth_off_has_half_the_height_and_all_the_light() -> None:
    sharp = frame(ideal(signal_sigma_um=(0.24, 0.24), signal_gv=(3000, 3000)))
    model = ideal(signal_sigma_um=(0.24, 0.24), signal_gv=(3000, 3000), focus_sd_um=1e-9)
    deep = frame(model)
    (z,) = {round(abs(dot.z_um), 6) for dot in of_kind(deep, "copy")}
    assert z == 0
    far = frame(ideal(signal_sigma_um=(0.24, 0.24), signal_gv=(3000, 3000), thickness_um=(6, 6)), nuclei=6)
    for dot in of_kind(far, "copy"):
        widening = 1 + dot.z_um**2
        assert dot.height_gv == pytest.approx(3000 / widening)
        assert dot.sigma_um == pytest.approx(0.24 * np.sqrt(widening))
    assert max(abs(dot.z_um) for dot in of_kind(far, "copy")) > 1
    assert max(abs(dot.z_um) for dot in of_kind(far, "copy")) <= 3
    assert all(dot.height_gv == pytest.approx(3000) for dot in of_kind(sharp, "copy"))


def test_a_frame_out_of_focus_blurs_dapi_and_signals_alike() -> None:
    sharp, blurred = (frame(ideal(frame_focus_sd_um=sd, signal_gv=(3000, 3000))) for sd in (1e-6, 3.0))
    (z,) = {round(dot.z_um, 9) for dot in of_kind(blurred, "copy")}
    assert abs(z) > 0.3
    assert max(d.height_gv for d in of_kind(blurred, "copy")) == pytest.approx(3000 / (1 + z**2))
    outside = [float(f.planes[0][f.labels == 0].astype(float).mean()) for f in (sharp, blurred)]
    assert outside[1] > 2 * outside[0] + 1


def test_the_blur_of_a_slide_widens_all_signals() -> None:
    sharp, wide = (frame(ideal(slide_blur_um=(b, b), signal_gv=(3000, 3000), signal_sigma_um=(0.2, 0.2))) for b in (0.0, 0.2))
    tops = [float(f.planes[1].max()) for f in (sharp, wide)]
    assert tops[1] / tops[0] == pytest.approx(0.5, abs=0.06)  # 0.2² / (0.2² + 0.2²)


def test_all_copies_of_a_replicated_nucleus_are_two_dots_and_one_copy_each() -> None:
    found = frame(ideal(replicated_share=1, replicated_um=(0.5, 0.5), replicated_height=(1, 1), signal_sigma_um=(0.1, 0.1)))
    assert [row.state.replicated for row in found.truth] == [True, True]
    assert {dot.form for dot in of_kind(found, "copy")} == {"replicated"}
    assert [row.copies for row in found.truth] == [(2, 2, 2, 2)] * 2
    for dot in of_kind(found, "copy"):
        window = light_near(found.planes[dot.channel], dot, 4)
        peaks = (window > 0.7 * window.max()).sum()
        assert peaks >= 2
        assert found.planes[dot.channel][round(dot.y), round(dot.x)] < 0.5 * window.max()


@pytest.mark.parametrize(("trouble", "form"), [({"streaked": 1.0}, "streaked"), ({"diffuse": 1.0}, "diffuse")])
def test_a_streaked_or_diffuse_copy_is_wider_and_lower(trouble: dict[str, float], form: str) -> None:
    plain, spread = (frame(ideal(signal_gv=(3000, 3000), signal_sigma_um=(0.2, 0.2), **t)) for t in ({}, trouble))
    assert {dot.form for dot in of_kind(spread, "copy")} == {form}
    assert max(dot.height_gv for dot in of_kind(spread, "copy")) < 0.95 * min(dot.height_gv for dot in of_kind(plain, "copy"))
    dot = of_kind(spread, "copy")[0]
    assert (light_near(spread.planes[dot.channel], dot) > 100).sum() > (light_near(plain.planes[1], of_kind(plain, "copy")[0]) > 100).sum()


def test_nonspecific_dots_lie_in_their_nucleus_lower_than_its_signals_and_are_no_copies() -> None:
    model = ideal(nonspecific=(3, 3), nonspecific_height=(0.1, 0.3), signal_gv=(3000, 3000))
    found = frame(model)
    dots = of_kind(found, "nonspecific")
    assert 10 < len(dots) < 50
    assert {dot.label for dot in dots} == {1, 2}
    assert all(300 <= dot.height_gv <= 900 and dot.form == "" for dot in dots)
    assert all(found.labels[round(dot.y), round(dot.x)] in (dot.label, 0) for dot in dots)  # on the outline it may round to outside
    assert [row.copies for row in found.truth] == [(2, 2, 2, 2)] * 2


def test_granules_show_in_every_channel_at_one_place_in_and_around_the_nucleus() -> None:
    found = frame(ideal(granular_share=1))
    granules = of_kind(found, "granule")
    assert all(row.state.granular for row in found.truth)
    assert Counter(dot.channel for dot in granules) == dict.fromkeys(range(len(CHANNELS)), len(granules) // len(CHANNELS))
    assert len({(dot.y, dot.x) for dot in granules}) == len(granules) // len(CHANNELS) > 40
    outside = [dot for dot in granules if not found.labels[np.clip(round(dot.y), 0, 255), np.clip(round(dot.x), 0, 255)]]
    assert outside
    assert len(outside) < len(granules)


def test_wide_cytoplasm_is_bright_around_a_nucleus_in_the_probe_channels() -> None:
    found = frame(ideal(cytoplasm_share=1, cytoplasm_um=(1.5, 1.5)))
    background = found.labels == 0
    assert all((found.planes[channel][background] > 10).mean() > 0.02 for channel in range(1, 5))
    assert not of_kind(found, "granule")


def test_debris_on_nuclei_is_in_all_channels_at_one_place() -> None:
    found = frame(ideal(debris_per_nucleus=2, debris_gv=(2000, 2000)), seed=3)
    debris = of_kind(found, "debris")
    assert debris
    places = Counter((dot.y, dot.x) for dot in debris)
    assert set(places.values()) == {len(CHANNELS)}
    assert {dot.label for dot in debris} <= {1, 2}


def test_a_spike_is_one_pixel_and_named() -> None:
    plain, found = (frame(ideal(**t)) for t in ({}, {"spikes_per_mpx": (200, 200), "spike_gv": (5000, 6000)}))
    spikes = of_kind(found, "spike")
    changed = np.argwhere(found.planes != plain.planes)
    assert {tuple(c) for c in changed.tolist()} == {(dot.channel, int(dot.y), int(dot.x)) for dot in spikes}
    assert all(5000 <= dot.height_gv <= 6000 and dot.sigma_um == 0 for dot in spikes)
    assert 30 < len(spikes) < 110  # 200 per million of 5 x 256 x 256 pixels are 66


def test_hot_pixels_are_the_same_in_all_channels_and_frames_and_cosmic_rays_are_not() -> None:
    model = ideal(spikes_per_mpx=(400, 400), hot_share=0.5)
    instrument = draw_instrument(np.random.default_rng(1), model)
    frames = [simulate_frame(model, np.random.default_rng(seed), 256, 256, 0, instrument=instrument) for seed in (1, 2)]
    places = Counter((dot.y, dot.x) for found in frames for dot in of_kind(found, "spike"))
    hot = [place for place, n in places.items() if n == 2 * len(CHANNELS)]
    assert 5 < len(hot) < 30  # half of 400 per million of 256 x 256 pixels are 13
    assert 80 < len(places) - len(hot) < 180  # 13 in each of ten planes


def test_copies_lie_where_their_channels_optics_place_them() -> None:
    model = ideal(magnification_spread=0.02, shift_um=0.6, signal_gv=(3000, 3000), signal_sigma_um=(0.2, 0.2))
    found = frame(model)
    copies = of_kind(found, "copy")
    for dot in copies:
        window = light_near(found.planes[dot.channel], dot, 3)
        weights = np.maximum(window - 0.3 * window.max(), 0)
        ys, xs = np.indices(window.shape)
        assert (weights * ys).sum() / weights.sum() - 3 + round(dot.y) == pytest.approx(dot.y, abs=0.35)
        assert (weights * xs).sum() / weights.sum() - 3 + round(dot.x) == pytest.approx(dot.x, abs=0.35)
    plain = frame(ideal(signal_gv=(3000, 3000), signal_sigma_um=(0.2, 0.2)))
    assert not np.array_equal(found.planes[1], plain.planes[1])
    assert found.signals_yx["red"].tolist() == [[d.y, d.x] for d in copies if CHANNELS[d.channel] == "red"]


def test_dapi_is_the_reference_of_the_other_channels() -> None:
    one, other = (frame(ideal(magnification_spread=0.02, shift_um=0.6), seed=s) for s in (1, 1))
    assert np.array_equal(one.planes[0], other.planes[0])
    inside = one.planes[0] > 0
    assert (inside == (one.labels > 0)).mean() > 0.995


def test_background_rises_across_the_frame_by_its_gradient() -> None:
    model = SlideModel(**{**ideal().model_dump(), "background_gv": (1000, 1000), "background_texture": 0, "background_gradient": 0.5})
    found = simulate_frame(model, np.random.default_rng(2), 128, 128, 0)
    corners = found.planes[:, [0, 0, -1, -1], [0, -1, 0, -1]].astype(float)
    assert np.ptp(corners, axis=1).max() > 100
    assert found.planes[:, 64, 64].astype(float) == pytest.approx(1000, rel=0.01)


def test_dapi_follows_the_dna_content_where_that_is_asked_for() -> None:
    model = ideal(dna_spread=0.001, diameter_sd_um=1.5, ploidy_growth=0, defocus=0)
    found = simulate_frame(model, np.random.default_rng(1), 512, 512, 8, {"normal": 4, "tetraploid": 4})
    light = {row.label: float(found.planes[0][found.labels == row.label].sum()) for row in found.truth}
    visible = [max(light[row.label] for row in found.truth if row.kind == kind) for kind in ("normal", "tetraploid")]
    assert visible[1] / visible[0] == pytest.approx(2, rel=0.05)


def test_dyes_have_a_brightness_of_the_slide() -> None:
    model = ideal(dye_brightness=(0.5, 2.0), signal_gv=(2000, 2000), signal_sigma_um=(0.2, 0.2))
    heights = {name: {round(d.height_gv) for d in of_kind(frame(model), "copy") if CHANNELS[d.channel] == name} for name in PROBE_CHANNELS}
    assert all(len(found) == 1 for found in heights.values())
    assert len(set.union(*heights.values())) == 4
    assert all(1000 <= h <= 4000 for found in heights.values() for h in found)


@pytest.mark.parametrize("name", LOG_UNIFORM)
def test_a_log_uniform_range_begins_above_0(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name}: is log-uniform, its least value must be above 0"):
        SlideModel(**{name: (0, 1)})


def test_rates_are_log_uniform_over_slides() -> None:
    model = ideal(spikes_per_mpx=(5, 50), nonspecific=(0.05, 0.3))
    drawn = [draw_instrument(np.random.default_rng(seed), model) for seed in range(400)]
    assert np.median([one.spikes_per_mpx for one in drawn]) == pytest.approx(np.sqrt(5 * 50), rel=0.15)
    assert np.median([one.nonspecific for one in drawn]) == pytest.approx(np.sqrt(0.05 * 0.3), rel=0.1)


def test_the_same_seed_gives_the_same_frame_with_all_troubles() -> None:
    model = ideal(nonspecific=(1, 1), granular_share=0.5, spikes_per_mpx=(50, 50), thickness_um=(2, 5), shift_um=0.3)
    first, again = frame(model), frame(model)
    assert np.array_equal(first.planes, again.planes)
    assert first.dots == again.dots
    assert replace(first.dots[0], label=9) != again.dots[0]
