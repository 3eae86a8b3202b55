"""A small patient with pictures of a textured disk and Gaussian dots, drawn here so that every pixel is known."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from cacapp.report.contrast import ContrastLimits, contrast_limits
from cacapp.report.figures import SignalMark, cell_crops, frame_overview
from cacapp.report.patient_page import PatientReport
from cacapp.report.pictured import FlaggedCell, FrameOverview
from cacapp.report.provenance import AlgorithmUse, FailedFrame, RunProvenance, SourceFile
from cacapp.report.result import Criteria, PatternCount, Probe, ResultNumbers, SlideSummary
from cacapp.types import CHANNELS, PROBE_CHANNELS, Array, Instance

SIDE_PX = 48
SHA256 = "0f" * 32


@pytest.fixture(scope="session")
def disk() -> Array:
    """(48, 48) bool: a disk of radius 18 px around the centre."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    return np.asarray(np.hypot(y - 23.5, x - 23.5) <= 18)


@pytest.fixture(scope="session")
def dots() -> tuple[SignalMark, ...]:
    """Three aqua, two green, two gold, three red dots; the third red one does not count."""
    places = {
        "aqua": [(16, 16), (16, 30), (31, 23)],
        "green": [(20, 20), (30, 30)],
        "gold": [(18, 25), (30, 17)],
        "red": [(13, 22), (24, 33), (33, 28)],
    }
    return tuple(SignalMark(c, y, x, 1.5, (c, i) != ("red", 2)) for c, yx in places.items() for i, (y, x) in enumerate(yx))


@pytest.fixture(scope="session")
def planes(disk: Array, dots: tuple[SignalMark, ...]) -> dict[str, Array]:
    """The five channels of the crop, uint16: background 100, nucleus 1000 in DAPI and 120 in the probes, dots 800 high."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    drawn = {c: 100.0 + disk * (900.0 if c == "DAPI" else 20.0) + rng.normal(0, 4, disk.shape) for c in CHANNELS}
    for dot in dots:
        drawn[dot.channel] += 800 * np.exp(-((y - dot.y_px) ** 2 + (x - dot.x_px) ** 2) / (2 * dot.sigma_px**2))
    return {c: np.clip(plane, 0, 65535).astype(np.uint16) for c, plane in drawn.items()}


@pytest.fixture(scope="session")
def limits(planes: dict[str, Array]) -> ContrastLimits:
    return contrast_limits([planes], "slide S-01")


@pytest.fixture(scope="session")
def report(planes: dict[str, Array], disk: Array, dots: tuple[SignalMark, ...], limits: ContrastLimits) -> PatientReport:
    """Positive, with every part of the page filled."""
    moment = datetime(2026, 11, 22, 9, 5, tzinfo=UTC)
    cac = FlaggedCell(
        *(71, "S-01", "pos-003", 12, 405.0, 1207.0, "cac", "balanced_polyploid", True),
        counts=dict.fromkeys(PROBE_CHANNELS, 3),
        needs_review=True,
        review_reason="two signals nearly touch",
        margin=0.37,
        area_um2=101.25,
        pictures=cell_crops(planes, disk, dots, limits, pixel_size_um=0.3),
    )
    failed = FlaggedCell(
        *(93, "S-02", "pos-019", 44, 77.0, 3190.0, None, None, False),
        counts={"aqua": 2, "green": 0, "gold": 2, "red": 2},
        needs_review=True,
        review_reason="hybridisation failure?",
    )
    overview = frame_overview(planes["DAPI"], [Instance((0, 0, SIDE_PX, SIDE_PX), disk)], ["cac"], limits)
    return PatientReport(
        patient_code="P-0042",
        created_at=moment,
        app_version="0.1.7",
        verdict="increased risk (Katz)",
        verdict_without_polyploid="below the threshold of 3",
        criteria=Criteria(
            "katz-4color",
            "1.2",
            (Probe("aqua", "CEP10", 2, 4.5), Probe("green", "3q29", 2, 5), Probe("gold", "10q22.3"), Probe("red", "3p22.1")),
            (("normal", "2 signals of each probe"), ("cac", "3 or more signals of at least 2 probes")),
            threshold_per_100ul=3.0,
            min_evaluable_cells=250,
        ),
        result=ResultNumbers(
            cells=12_877,
            evaluable=11_903,
            classes={"cac": 6, "loss": 811, "normal": 10_995, "gain": 91},
            exclusions={"touches_edge": 633, "aggregate": 341},
            cacs=6,
            cacs_balanced_polyploid=4,
            blood_volume_ul=147.5,
            cacs_per_100ul=4.07,
            cacs_per_100ul_low=1.49,
            cacs_per_100ul_high=8.85,
            needs_review=57,
            frames=23,
            frames_failed=2,
        ),
        slides=(SlideSummary("S-01", 100.0, 14, 0, 7_001, 6_502, 5), SlideSummary("S-02", 47.5, 9, 2, 5_876, 5_401, 1)),
        patterns=(PatternCount("2-2-1-2", 811, "loss"), PatternCount("2-2-2-2", 10_995, "normal"), PatternCount("3-3-3-3", 4, "cac")),
        flagged=(failed, cac),
        frames=(FrameOverview("S-01", "pos-003", 512, 488, 5, overview), FrameOverview("S-01", "pos-004", 499, 470, 0)),
        failed_frames=(FailedFrame("S-02", "pos-021", "ends after 3 of 5 planes"),),
        contrast=(limits,),
        provenance=(
            RunProvenance(
                *(31, "segment", "S-01", "succeeded", moment, moment, "0.1.7", "cpu", 5, "ab" * 32),
                algorithms=(AlgorithmUse("segmenter", "star-convex", "cacapp-stars", "2.3.1", {"min_area_um2": 23.5}, "cd" * 32),),
                params={"projection": "max"},
                assay="katz-4color 1.2",
            ),
        ),
        files=(
            SourceFile("S-01", "pos-003.ome.tiff", "/data/" + "long-folder-name/" * 9 + "pos-003.ome.tiff", SHA256, "tiff (cacapp 0.1.0)"),
        ),
    )
