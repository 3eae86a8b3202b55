"""The simulator's truth is what it renders, and its noise and light follow their parameters."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage as ndi

from cacapp.exceptions import CacappError, UsageError
from cacapp.simulation import KINDS, SlideModel, simulate_frame
from cacapp.simulation.copies import draw_copies
from cacapp.simulation.optics import expose
from cacapp.types import CHANNELS, PROBE_CHANNELS

ALL_KINDS = {"normal": 3, "loss": 2, "gain": 2, "triploid": 1, "tetraploid": 2, "cac": 3, "failed": 1}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def ideal():
    """A frame as an ideal microscope records it: no noise, blur, bleed-through, dirt; no split signals."""
    model = SlideModel(split=0, signal_jitter=0.05).without_light_effects()
    return model, simulate_frame(model, rng(3), 640, 640, 14, ALL_KINDS)


def test_the_dots_of_an_ideal_frame_are_the_copies_of_the_truth(ideal):
    _, frame = ideal
    for channel, name in enumerate(PROBE_CHANNELS, 1):
        plane = ndi.gaussian_filter(frame.planes[channel].astype(float), 0.7)
        peak = (plane == ndi.maximum_filter(plane, 5)) & (plane > 150)
        found = ndi.label(peak, np.ones((3, 3)))[0]
        ys, xs = np.array(ndi.center_of_mass(peak, found, range(1, found.max() + 1))).T.round().astype(int)
        owners = frame.labels[ys, xs]
        assert (owners > 0).all()
        counted = np.bincount(owners, minlength=len(frame.truth) + 1)[1:]
        assert counted.tolist() == [row.copies[channel - 1] for row in frame.truth]
        assert len(frame.signals_yx[name]) == len(ys)


def test_a_row_describes_its_label(ideal):
    _, frame = ideal
    assert frame.labels.dtype == np.int32
    assert sorted(set(np.unique(frame.labels)) - {0}) == [row.label for row in frame.truth]
    for row in frame.truth:
        ys, xs = np.nonzero(frame.labels == row.label)
        assert row.area_px == len(ys)
        assert (row.y, row.x) == pytest.approx((ys.mean(), xs.mean()))


def test_dapi_is_bright_inside_the_labels_and_dark_outside(ideal):
    _, frame = ideal
    dapi = frame.planes[0]
    assert (dapi[frame.labels == 0] == 0).all()
    assert (dapi[frame.labels > 0] > 0).mean() > 0.999
    low, high = SlideModel().dapi_gv
    for row in frame.truth:
        assert 0.9 * low < dapi[frame.labels == row.label].mean() < 1.5 * high


def test_copies_of_a_probe_keep_their_distance_and_lie_inside_their_nucleus(ideal):
    model, frame = ideal
    for positions in frame.signals_yx.values():
        distance = np.hypot(*(positions[:, None] - positions[None]).transpose(2, 0, 1))
        nucleus = frame.labels[tuple(positions.round().astype(int).T)]
        same = (nucleus[:, None] == nucleus[None]) & ~np.eye(len(positions), dtype=bool)
        assert distance[same].min() >= model.px(model.spacing_um)


def test_exact_kinds_are_exact_and_their_copies_are_those_of_the_kind():
    frame = simulate_frame(SlideModel(), rng(5), 640, 640, 14, ALL_KINDS)
    kinds = [row.kind for row in frame.truth]
    assert {kind: kinds.count(kind) for kind in KINDS} == ALL_KINDS
    for row in frame.truth:
        high = sum(c >= 3 for c in row.copies)
        is_right = {
            "normal": row.copies == (2, 2, 2, 2),
            "loss": sorted(row.copies) == [1, 2, 2, 2],
            "failed": sorted(row.copies) == [0, 2, 2, 2],
            "gain": high == 1 and min(row.copies) == 2,
            "triploid": row.copies == (3, 3, 3, 3),
            "tetraploid": row.copies == (4, 4, 4, 4),
            "cac": 2 <= high <= 3 and min(row.copies) == 2 and max(row.copies) <= 5,
        }
        assert is_right[row.kind], row


def test_the_mix_of_cells_is_the_models_and_a_healthy_donor_has_no_cac():
    donor = SlideModel(cac_share=0, tetraploid_share=0, gain_share=0.02, loss_share=0.02)
    assert donor.kinds() == {"normal": 0.96, "loss": 0.02, "gain": 0.02}
    assert {row.kind for row in simulate_frame(donor, rng(1), 640, 640, 25).truth} <= {"normal", "loss", "gain"}
    only_cacs = SlideModel(cac_share=1, gain_share=0, loss_share=0, tetraploid_share=0)
    assert {row.kind for row in simulate_frame(only_cacs, rng(1), 320, 320, 4).truth} == {"cac"}
    assert SlideModel().kinds() == {"normal": 0.8, "loss": 0.06, "gain": 0.06, "tetraploid": 0.02, "cac": 0.06}
    with pytest.raises(ValidationError, match=r"the shares of cells other than normal ones sum to 1.14, more than 1"):
        SlideModel(cac_share=1)


def test_only_cac_and_polyploid_kinds_gain_two_probes():
    for kind in KINDS:
        gains = {sum(c >= 3 for c in draw_copies(rng(i), kind)) for i in range(40)}
        assert (max(gains) >= 2) == (kind in ("cac", "triploid", "tetraploid")), kind


def test_the_same_seed_gives_the_same_frame_and_another_seed_another():
    first, again, other = (simulate_frame(SlideModel(), rng(s), 256, 256, 4) for s in (7, 7, 8))
    assert np.array_equal(first.planes, again.planes)
    assert np.array_equal(first.labels, again.labels)
    assert first.truth == again.truth
    assert not np.array_equal(first.planes, other.planes)


def test_bleed_through_is_the_share_the_matrix_says():
    matrix = np.zeros((5, 5))
    matrix[1, 2], matrix[4, 3] = 0.2, 0.1
    plain = SlideModel(signal_gv=(8000, 8000), full_scale_gv=65535).without_light_effects()
    mixed = plain.model_copy(update={"bleed_through": tuple(map(tuple, matrix)), "bleed_scale": 1.0})
    a, b = (simulate_frame(m, rng(2), 256, 256, 3).planes.astype(float) for m in (plain, mixed))
    extra = b - a
    assert np.abs(extra[2] - 0.2 * a[1]).max() <= 1
    assert np.abs(extra[3] - 0.1 * a[4]).max() <= 1
    assert not extra[[0, 1, 4]].any()


@pytest.mark.parametrize("level", [40.0, 400.0, 4000.0])
def test_noise_variance_is_gain_times_light_plus_read_noise_squared(level):
    model = SlideModel(gain_gv=2.0, read_noise_gv=6.0, offset_gv=100)
    value = expose(rng(1), model, np.full((600, 600), level, np.float32)).astype(float)
    assert value.mean() == pytest.approx(100 + level, abs=4 * value.std() / 600)
    assert value.var() == pytest.approx(2.0 * level + 36 + 1 / 12, rel=0.02)


def test_light_falls_towards_the_corners_by_the_vignette():
    model = (
        SlideModel()
        .without_light_effects()
        .model_copy(update={"vignette": 0.4, "background_gv": (4000.0, 4000.0), "background_texture": 0.0})
    )
    plane = simulate_frame(model, rng(1), 201, 301, 0).planes[2].astype(float)
    assert plane[100, 150] == pytest.approx(4000, rel=1e-3)
    assert plane[0, 0] == pytest.approx(4000 * 0.6, rel=1e-3)


def test_a_split_signal_is_one_copy_of_two_dots():
    model = SlideModel(split=1, split_um=0.9, spacing_um=2.2, signal_jitter=0).without_light_effects()
    frame = simulate_frame(model, rng(4), 256, 256, 3, {"normal": 3})
    plane = frame.planes[1].astype(float)
    peaks = (plane == ndi.maximum_filter(plane, 3)) & (plane > 100)
    assert ndi.label(peaks, np.ones((3, 3)))[1] == 2 * sum(row.copies[0] for row in frame.truth) == 12


def test_missing_hybridisation_leaves_one_probe_without_signals():
    frame = simulate_frame(SlideModel(missing_hybridisation=1), rng(4), 320, 320, 5, {"normal": 1.0})
    assert all(row.kind == "failed" and sorted(row.copies) == [0, 2, 2, 2] for row in frame.truth)


def test_cut_nuclei_touch_the_edge_and_whole_ones_do_not():
    frame = simulate_frame(SlideModel(edge_share=0.5), rng(6), 512, 512, 8)
    inner = np.zeros(frame.labels.shape, bool)
    inner[1:-1, 1:-1] = True
    on_edge = set(np.unique(frame.labels[~inner])) - {0}
    assert len(frame.truth) == 12
    assert on_edge == {row.label for row in frame.truth if row.kind == "cut"}


def test_defocus_blurs_the_nucleus_but_not_its_truth():
    sharp = SlideModel(texture_contrast=0.4).without_light_effects()
    soft = sharp.model_copy(update={"defocus": 1.0, "defocus_um": (0.6, 0.6)})
    a, b = (simulate_frame(m, rng(9), 200, 200, 1) for m in (sharp, soft))
    assert np.array_equal(a.labels, b.labels)
    energy = [np.abs(np.diff(f.planes[0].astype(float), axis=0)).sum() / f.planes[0].sum() for f in (a, b)]
    assert energy[1] < 0.7 * energy[0]


def test_overlap_stays_below_its_limit_and_nothing_is_hidden_without_it():
    model = SlideModel(clustered=1, overlap_max=0.0, touch_gap=0.9)
    frame = simulate_frame(model, rng(1), 640, 640, 16)
    for row in frame.truth:
        assert ndi.label(frame.labels == row.label)[1] == 1


def test_eight_bit_frames_are_scaled_to_full_scale():
    frame = simulate_frame(SlideModel(bit_depth=8, full_scale_gv=4000), rng(1), 256, 256, 3)
    assert frame.planes.dtype == np.uint8
    assert frame.planes[0].max() == 255


def test_sizes_are_physical():
    def area_um2(pixel_size_um: float, side: int) -> float:
        model = SlideModel(pixel_size_um=pixel_size_um, diameter_sd_um=0, ploidy_growth=0, clustered=0, overlap_max=0, signal_rim_um=0.3)
        truth = simulate_frame(model, rng(2), side, side, 5, {"normal": 5}).truth
        return float(np.mean([row.area_px for row in truth])) * pixel_size_um**2

    for pixel_size_um, side in ((0.12, 512), (0.24, 256)):
        assert area_um2(pixel_size_um, side) == pytest.approx(np.pi / 4 * 8.6**2, rel=0.04)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixel_size_um": 0},
        {"overlap_max": 1.0},
        {"split": 1.5},
        {"dapi_gv": (900, 100)},
        {"signal_gv": (-1, 5)},
        {"bit_depth": 12},
        {"bleed_through": ((0.0,) * 4,) * 4},
        {"bleed_through": ((0.5,) * 5,) * 5},
        {"round_weight": 0, "oval_weight": 0, "kidney_weight": 0},
        {"sharpness": 3},
    ],
)
def test_parameters_out_of_bounds_or_unknown_are_refused(wrong):
    with pytest.raises(ValidationError):
        SlideModel(**wrong)


def test_every_parameter_has_a_description():
    assert not [name for name, field in SlideModel.model_fields.items() if not field.description]


@pytest.mark.parametrize(
    ("nuclei", "kinds", "message"),
    [
        (3, {"normal": 2}, "sum to 2"),
        (3, {"normal": 0.5}, "not 1"),
        (3, {"strange": 1.0}, "unknown strange"),
        (3, {"normal": 4, "cac": -1}, "negative"),
        (-1, {"normal": 1.0}, "negative"),
    ],
)
def test_kinds_that_make_no_sense_are_refused(nuclei, kinds, message):
    with pytest.raises(UsageError, match=message):
        simulate_frame(SlideModel(), rng(), 128, 128, nuclei, kinds)


def test_nuclei_that_do_not_fit_are_an_error_that_says_so():
    with pytest.raises(CacappError, match="no room for nucleus"):
        simulate_frame(SlideModel(), rng(), 160, 160, 30)


def test_a_frame_has_the_five_channels():
    assert simulate_frame(SlideModel(), rng(), 96, 100, 0).planes.shape == (len(CHANNELS), 96, 100)
