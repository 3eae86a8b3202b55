"""Five sample patients of sample_slides/ and of `cacapp demo`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cacapp.exceptions import CacappError
from cacapp.simulation.model import SlideModel
from cacapp.simulation.slide import Progress, replace_text, write_slide

MANIFEST_COLUMNS = ("patient", "slide", "path", "blood_volume_ul", "notes")

# A camera of few grey values per photo-electron: little noise to store keeps the deflated files small.
SAMPLE_MODEL = SlideModel(
    full_scale_gv=4095,
    diameter_sd_um=0.7,
    dapi_gv=(210, 650),
    signal_gv=(130, 350),
    signal_jitter=0.18,
    split=0.04,
    probe_spacing_um=0.75,
    overlap_max=0.03,
    touch_gap=0.95,
    clustered=0.25,
    autofluorescence_gv=24,
    background_gv=(6, 14),
    debris_gv=(80, 450),
    haze_gv=(4, 18),
    defocus=0.04,
    defocus_um=(0.15, 0.3),
    vignette=0.18,
    gain_gv=0.06,
    offset_gv=20,
    read_noise_gv=0.5,
)


@dataclass(frozen=True, slots=True)
class SamplePatient:
    """Parameters of one sample patient with one slide.

    Attributes:
        code, barcode: patient's pseudonym and slide.
        blood_volume_ul: blood volume of the slide, None where unknown.
        seed: of the slide.
        frames: exact numbers of kinds, one mapping a frame.
        expected: "negative", "positive", "positive by polyploid cells only", "insufficient" or "undetermined", with a minimum of
            SAMPLE_MIN_EVALUABLE_CELLS evaluable cells.
        notes: purpose of the slide.
    """

    code: str
    barcode: str
    blood_volume_ul: float | None
    seed: int
    frames: tuple[Mapping[str, int], ...]
    expected: str
    notes: str

    @property
    def nuclei(self) -> int:
        return sum(sum(kinds.values()) for kinds in self.frames)

    def count(self, *kinds: str) -> int:
        """Return the number of nuclei of these kinds."""
        return sum(frame.get(kind, 0) for frame in self.frames for kind in kinds)


SAMPLE_HEIGHT_PX, SAMPLE_WIDTH_PX = 640, 672
SAMPLE_MIN_EVALUABLE_CELLS = 30

SAMPLE_PATIENTS = (
    SamplePatient(
        "P01-negative", "S01", 100.0, 101,
        ({"normal": 26, "loss": 1, "gain": 1}, {"normal": 26, "loss": 1, "failed": 1}),
        "negative", "clear negative: no CAC",
    ),
    SamplePatient(
        "P02-positive", "S02", 100.0, 202,
        ({"normal": 21, "loss": 1, "gain": 1, "cac": 4}, {"normal": 22, "gain": 1, "cac": 4}),
        "positive", "clear positive: gains of two or three probes",
    ),
    SamplePatient(
        "P03-polyploid", "S03", 100.0, 303,
        ({"normal": 22, "triploid": 2, "tetraploid": 1}, {"normal": 22, "loss": 1, "triploid": 1, "tetraploid": 2}),
        "positive by polyploid cells only", "positive only by balanced polyploid cells (3,3,3,3 and 4,4,4,4)",
    ),
    SamplePatient(
        "P04-few", "S04", 100.0, 404,
        ({"normal": 10, "loss": 1, "cac": 1},),
        "insufficient", "too few evaluable cells",
    ),
    SamplePatient(
        "P05-novolume", "S05", None, 505,
        ({"normal": 24, "cac": 2}, {"normal": 24, "gain": 1, "cac": 2}),
        "undetermined", "blood volume unknown",
    ),
)  # fmt: skip


def write_samples(out: Path, progress: Progress | None = None) -> list[Path]:
    """Write the sample patients: OUT/<slide>/frameNN.ome.tif, labels and truth.csv, and OUT/slides.csv, a manifest for `cacapp ingest`.

    Args:
        progress: called with (frames done, frames in all).

    Returns:
        The frames' paths, in order.

    Raises:
        CacappError: the folder cannot be written.
    """
    total, done = sum(len(p.frames) for p in SAMPLE_PATIENTS), 0
    paths: list[Path] = []
    text = io.StringIO()
    manifest = csv.writer(text, lineterminator="\n")
    manifest.writerow(MANIFEST_COLUMNS)
    for patient in SAMPLE_PATIENTS:
        paths += write_slide(
            out / patient.barcode,
            SAMPLE_MODEL,
            frames=len(patient.frames),
            seed=patient.seed,
            height_px=SAMPLE_HEIGHT_PX,
            width_px=SAMPLE_WIDTH_PX,
            nuclei=[sum(kinds.values()) for kinds in patient.frames],
            kinds=patient.frames,
        )
        volume = "" if patient.blood_volume_ul is None else f"{patient.blood_volume_ul:g}"
        manifest.writerow((patient.code, patient.barcode, patient.barcode, volume, patient.notes))
        done += len(patient.frames)
        if progress is not None:
            progress(done, total)
    try:
        replace_text(out / "slides.csv", text.getvalue())
    except OSError as e:
        raise CacappError(f"simulation: cannot write {out / 'slides.csv'}: {e.strerror}") from e
    return paths
