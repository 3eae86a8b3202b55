"""Parameters of a simulated slide, with units and bounds."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cacapp.simulation.troubles import LOG_UNIFORM, Troubles
from cacapp.types import CHANNELS

Matrix = tuple[tuple[float, ...], ...]

# Share of a dye's light (row) that its neighbour's filter (column) lets through; both axes in CHANNELS order.
NEIGHBOUR_BLEED: Matrix = (
    (0.0, 0.004, 0.0, 0.0, 0.0),
    (0.0, 0.0, 0.05, 0.0, 0.0),
    (0.0, 0.0, 0.0, 0.06, 0.0),
    (0.0, 0.0, 0.0, 0.0, 0.07),
    (0.0, 0.0, 0.0, 0.04, 0.0),
)


class SlideModel(Troubles):
    """Cells, nuclei, probes, optics, dirt and camera of a simulated 4-colour FISH slide. Lengths in µm, brightness in grey values (gv).

    Ranges are (min, max) pairs of a uniform distribution. Shares and chances lie in [0, 1]. Beside these, a slide has ``Troubles``.
    """

    pixel_size_um: float = Field(0.12, gt=0.01, le=5, description="edge length of a pixel, µm")
    bit_depth: Literal[8, 16] = Field(16, description="bits of a stored pixel")
    full_scale_gv: float = Field(
        65535.0, gt=0, le=65535, description="grey value at which the camera saturates; 8-bit output maps it to 255, gv"
    )

    # cells: what remains to 1 are normal ones, with 2 copies of every probe
    cac_share: float = Field(0.06, ge=0, le=1, description="share of cells with 3 to 5 copies of two or three probes")
    gain_share: float = Field(0.06, ge=0, le=1, description="share of cells with 3 or 4 copies of one probe")
    loss_share: float = Field(0.06, ge=0, le=1, description="share of cells with 1 copy of one probe")
    triploid_share: float = Field(0.0, ge=0, le=1, description="share of cells with 3 copies of every probe")
    tetraploid_share: float = Field(0.02, ge=0, le=1, description="share of cells with 4 copies of every probe")

    # nuclei
    diameter_um: float = Field(8.6, gt=1, le=60, description="mean diameter (of the disk of the same area) of a nucleus, µm")
    diameter_sd_um: float = Field(1.1, ge=0, le=20, description="standard deviation of the diameter, µm")
    round_weight: float = Field(0.62, ge=0, le=100, description="weight of lymphocyte-like round outlines")
    oval_weight: float = Field(0.24, ge=0, le=100, description="weight of elongated outlines")
    kidney_weight: float = Field(0.14, ge=0, le=100, description="weight of monocyte-like indented outlines")
    lobed_weight: float = Field(0.0, ge=0, le=100, description="weight of lobed outlines (two or three fused lobes)")
    elongation_max: float = Field(1.5, ge=1, le=4, description="largest ratio of length to width of an oval")
    irregularity: float = Field(0.035, ge=0, le=0.3, description="spread of the outline's radius, share of the mean radius")
    ploidy_growth: float = Field(0.2, ge=0, le=1, description="exponent: the diameter grows with (mean copies / 2) to this power")
    clustered: float = Field(0.30, ge=0, le=1, description="share of nuclei placed against another one")
    touch_gap: float = Field(0.90, gt=0.3, le=2, description="smallest centre distance of neighbours in a cluster, in mean diameters")
    overlap_max: float = Field(0.08, ge=0, lt=0.9, description="largest share of a nucleus hidden behind another")
    edge_share: float = Field(0.0, ge=0, le=1, description="extra nuclei (kind `cut`) that the frame's edge cuts, as a share of all others")

    # DAPI
    dapi_gv: tuple[float, float] = Field((2500.0, 9000.0), description="range of a nucleus' mean DAPI brightness, gv")
    texture_contrast: float = Field(0.16, ge=0, le=1.5, description="chromatin texture: spread of the logarithm of brightness")
    texture_um: tuple[float, float] = Field((0.4, 3.0), description="finest and coarsest scale of the chromatin, µm")
    dome: float = Field(0.45, ge=0, le=1, description="loss of brightness towards the thin border of a nucleus, share")
    border_um: float = Field(0.1, ge=0, le=5, description="softness of nuclei (out-of-plane light): a Gaussian's standard deviation, µm")
    rim_sd: float = Field(0.12, ge=0, le=1, description="standard deviation of the rim's additional brightness, share")
    nucleoli: float = Field(1.2, ge=0, le=20, description="mean number of nucleoli (dark in DAPI) of a nucleus")
    nucleolus_um: tuple[float, float] = Field((0.7, 1.5), description="range of a nucleolus' diameter, µm")

    # probe signals
    signal_gv: tuple[float, float] = Field((900.0, 3500.0), description="range of a probe's signal height in a nucleus, gv")
    signal_jitter: float = Field(0.25, ge=0, le=2, description="log-normal spread of signal heights within a nucleus")
    signal_sigma_um: tuple[float, float] = Field((0.19, 0.29), description="range of a signal's standard deviation, µm")
    spacing_um: float = Field(1.3, ge=0, le=10, description="smallest distance between two copies of one probe, µm")
    probe_spacing_um: float = Field(0.0, ge=0, le=5, description="smallest distance between copies of different probes, µm")
    signal_rim_um: float = Field(0.72, ge=0, le=5, description="smallest distance of a copy from the visible border of its nucleus, µm")
    split: float = Field(0.06, ge=0, le=1, description="chance that a copy shows as two dots (still one copy)")
    split_um: float = Field(0.38, gt=0, le=2, description="distance between the two dots of a split signal, µm")
    missing_hybridisation: float = Field(
        0.0, ge=0, le=1, description="chance that a normal nucleus shows no signal of one probe (kind `failed`)"
    )

    # background and dirt
    autofluorescence_gv: float = Field(260.0, ge=0, le=30000, description="largest autofluorescence of a nucleus in a probe channel, gv")
    background_gv: tuple[float, float] = Field((150.0, 400.0), description="range of a frame's background light in a channel, gv")
    background_texture: float = Field(0.06, ge=0, le=1, description="spread of slow background variation, share of the background")
    debris_per_mm2: float = Field(190.0, ge=0, le=1e5, description="specks in one probe channel, each channel, per mm²")
    shared_debris_per_mm2: float = Field(40.0, ge=0, le=1e5, description="specks at one place in all five channels, per mm²")
    debris_on_nuclei: float = Field(0.0, ge=0, le=1, description="chance that a speck ignores debris_clearance_um")
    debris_gv: tuple[float, float] = Field((800.0, 6000.0), description="range of a speck's height, gv")
    debris_sigma_um: tuple[float, float] = Field((0.12, 0.7), description="range of a speck's standard deviation, µm")
    debris_clearance_um: float = Field(1.4, ge=0, le=20, description="smallest distance of debris from nuclei, µm")
    haze_per_mm2: float = Field(60.0, ge=0, le=1e5, description="dim out-of-focus blobs per mm²")
    haze_gv: tuple[float, float] = Field((60.0, 400.0), description="range of a haze blob's height, gv")
    haze_sigma_um: tuple[float, float] = Field((3.0, 9.0), description="range of a haze blob's standard deviation, µm")

    # optics
    blur_um: float = Field(0.085, ge=0, le=5, description="standard deviation of the microscope's blur, in the whole frame, µm")
    defocus: float = Field(0.08, ge=0, le=1, description="share of nuclei out of focus")
    defocus_um: tuple[float, float] = Field((0.2, 0.6), description="range of the additional blur of nuclei out of focus, µm")
    bleed_through: Matrix = Field(
        NEIGHBOUR_BLEED, description="5 x 5 shares, CHANNELS order: light of the row's dye in the column's channel"
    )
    bleed_scale: float = Field(1.0, ge=0, le=10, description="factor on all shares of bleed_through")
    vignette: float = Field(0.25, ge=0, le=1, description="loss of light in the corners, share")
    tilt: float = Field(0.05, ge=0, le=0.5, description="largest loss or gain of light across the frame, share")

    # camera
    gain_gv: float = Field(2.0, ge=0, le=1000, description="grey values per photo-electron; 0 switches shot noise off, gv")
    offset_gv: float = Field(100.0, ge=0, le=10000, description="camera offset, gv")
    read_noise_gv: float = Field(12.0, ge=0, le=5000, description="standard deviation of the camera's read noise, gv")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name not in ("bleed_through", "treatments") and isinstance(value, tuple) and not 0 <= value[0] <= value[1]:
                raise ValueError(f"{name}: needs 0 <= min <= max, got {value}")
            if name in LOG_UNIFORM and value[1] and value[0] <= 0:
                raise ValueError(f"{name}: is log-uniform, its least value must be above 0, got {value}")
        n = len(CHANNELS)
        if len(self.bleed_through) != n or any(len(row) != n for row in self.bleed_through):
            raise ValueError(f"bleed_through: needs {n} rows of {n} shares, in the order {', '.join(CHANNELS)}")
        if any(not 0 <= share <= 0.9 or (i == j and share) for i, row in enumerate(self.bleed_through) for j, share in enumerate(row)):
            raise ValueError("bleed_through: shares must lie in 0..0.9 and the diagonal must be 0")
        if not self.round_weight + self.oval_weight + self.kidney_weight + self.lobed_weight > 0:
            raise ValueError("at least one of round_weight, oval_weight, kidney_weight, lobed_weight must be positive")
        if (abnormal := sum(self._abnormal().values())) > 1 + 1e-9:
            raise ValueError(f"the shares of cells other than normal ones sum to {abnormal:g}, more than 1")
        return self

    def _abnormal(self) -> dict[str, float]:
        kinds = ("loss", "gain", "triploid", "tetraploid", "cac")
        return {kind: getattr(self, f"{kind}_share") for kind in kinds}

    def kinds(self) -> dict[str, float]:
        """Return the probability of each kind of cell that occurs; they sum to 1."""
        abnormal = self._abnormal()
        shares = {"normal": max(0.0, round(1 - sum(abnormal.values()), 12))} | abnormal
        return {kind: share for kind, share in shares.items() if share}

    def px(self, length_um: float) -> float:
        """Convert a length in µm to pixels."""
        return length_um / self.pixel_size_um

    def without_light_effects(self) -> SlideModel:
        """Return the same slide as an ideal microscope records it: no noise, blur, bleed-through, uneven light, background or dirt."""
        return self.model_copy(
            update={
                "autofluorescence_gv": 0.0,
                "background_gv": (0.0, 0.0),
                "debris_per_mm2": 0.0,
                "shared_debris_per_mm2": 0.0,
                "haze_per_mm2": 0.0,
                "blur_um": 0.0,
                "border_um": 0.0,
                "defocus": 0.0,
                "bleed_scale": 0.0,
                "vignette": 0.0,
                "tilt": 0.0,
                "gain_gv": 0.0,
                "offset_gv": 0.0,
                "read_noise_gv": 0.0,
            }
        )
