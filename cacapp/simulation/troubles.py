"""Parameters of what real interphase FISH has beyond clean signals; by default each is off and draws no random number."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LOG_UNIFORM = ("nonspecific", "spikes_per_mpx", "spike_gv", "dye_brightness")
"""Ranges of rates and factors: a value is as likely to lie between 1 and 2 as between 2 and 4."""

Treatment = Literal["none", "subtracted", "deconvolved", "eight-bit", "stretched", "jpeg", "saturated"]


class Troubles(BaseModel):
    """Depth, replication, non-specific light, spikes, geometry of channels, dyes and treated pictures.

    Lengths in µm, brightness in grey values (gv). Ranges are (min, max) pairs of a uniform distribution. "Of the slide" means: drawn once
    for all its frames.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # depth
    thickness_um: tuple[float, float] = Field((0.0, 0.0), description="range of a nucleus' thickness at its middle, 0: flat, µm")
    focus_sd_um: float = Field(0.0, ge=0, le=10, description="standard deviation of a nucleus' height above the focal plane, µm")
    channel_focus_um: float = Field(
        0.0, ge=0, le=5, description="largest distance of a channel's focal plane from the others', of the slide, µm"
    )
    frame_focus_sd_um: float = Field(0.0, ge=0, le=10, description="standard deviation of a whole frame's focus (of the autofocus), µm")
    slide_blur_um: tuple[float, float] = Field(
        (0.0, 0.0), description="range of the microscope's additional blur (Gaussian's standard deviation), of the slide, µm"
    )
    half_height_depth_um: float = Field(
        1.0, gt=0, le=20, description="distance from the focal plane at which a signal has half its height and 1.4 of its width, µm"
    )

    # copies
    replicated_share: float = Field(0.0, ge=0, le=1, description="share of nuclei after S phase: each copy of each probe is two dots")
    replicated_um: tuple[float, float] = Field((0.25, 0.5), description="range of the distance of the two dots of a replicated copy, µm")
    replicated_height: tuple[float, float] = Field((0.6, 1.0), description="range of the height of such a dot, share of the copy's height")
    streaked: float = Field(0.0, ge=0, le=1, description="chance that a copy is drawn out to a short line")
    streak_um: tuple[float, float] = Field((0.4, 1.0), description="range of the length of such a line, µm")
    diffuse: float = Field(0.0, ge=0, le=1, description="chance that a copy is diffuse: wider, and lower by the same factor")
    diffuse_widening: tuple[float, float] = Field((1.4, 2.2), description="range of the factor on the width of a diffuse copy")
    dna_spread: float = Field(
        0.0, ge=0, le=2, description="log-normal spread of integrated DAPI about the DNA content; 0: dapi_gv whatever the content"
    )

    # light that is no copy
    nonspecific: tuple[float, float] = Field(
        (0.0, 0.0), description="range of non-specific dots per nucleus and channel (mean), log-uniform, of the slide"
    )
    nonspecific_height: tuple[float, float] = Field((0.05, 0.4), description="range of their height, share of the nucleus' signal height")
    granular_share: float = Field(0.0, ge=0, le=1, description="share of cells with granular cytoplasm that glows in every channel")
    granular_um: tuple[float, float] = Field((1.0, 2.4), description="range of the width of granular cytoplasm around the nucleus, µm")
    granules_per_um2: float = Field(0.5, ge=0, le=10, description="granules of such a cell, per µm²")
    granule_gv: tuple[float, float] = Field((150.0, 1600.0), description="range of a granule's height in a channel that shows it fully, gv")
    granule_sigma_um: tuple[float, float] = Field((0.12, 0.32), description="range of a granule's standard deviation, µm")
    granular_glow_gv: tuple[float, float] = Field((100.0, 700.0), description="range of the even light of granular cytoplasm, gv")
    cytoplasm_share: float = Field(0.0, ge=0, le=1, description="share of nuclei with wide cytoplasm that glows around them")
    cytoplasm_um: tuple[float, float] = Field((0.6, 2.0), description="range of the width of such cytoplasm, µm")
    cytoplasm_gv: tuple[float, float] = Field((80.0, 500.0), description="range of the light of such cytoplasm in a probe channel, gv")
    debris_per_nucleus: float = Field(0.0, ge=0, le=10, description="mean number of specks on a nucleus, each in all channels")
    spikes_per_mpx: tuple[float, float] = Field(
        (0.0, 0.0), description="range of single bright pixels (hot, cosmic rays) per million, log-uniform, of the slide"
    )
    spike_gv: tuple[float, float] = Field((300.0, 30000.0), description="range of a spike's height, log-uniform, gv")
    hot_share: float = Field(0.5, ge=0, le=1, description="share of spikes that are hot pixels: the same in all frames and channels")

    # channels of their own
    magnification_spread: float = Field(
        0.0, ge=0, le=0.05, description="largest excess of a channel's magnification over DAPI's, of the slide, share"
    )
    shift_um: float = Field(0.0, ge=0, le=5, description="largest shift of a probe channel against DAPI along each axis, of the slide, µm")
    shading_offset: float = Field(
        0.0, ge=0, le=1, description="largest distance of a channel's brightest place from the centre, in half frames"
    )
    background_gradient: float = Field(
        0.0, ge=0, le=2, description="largest rise of the background across the frame, of the slide, share of it"
    )
    dye_brightness: tuple[float, float] = Field((1.0, 1.0), description="range of a factor on a probe's signals, log-uniform, of the slide")

    # after the camera
    treatments: tuple[Treatment, ...] = Field(
        ("none",),
        min_length=1,
        description="what is done to the pictures of a slide, one drawn from the list: none, subtracted (background taken off, clipped at "
        "0), deconvolved, eight-bit, stretched (contrast), jpeg, saturated (at a level of its own)",
    )

    def troubled(self) -> bool:
        """Return whether any of these parameters differs from its default."""
        return any(getattr(self, name) != field.get_default() for name, field in Troubles.model_fields.items())
