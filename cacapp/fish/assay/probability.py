"""Constants of the probability that a cell is a CAC: what is expected before a frame's own dots are seen, and the limits of the call."""

from __future__ import annotations

from pydantic import Field

from cacapp.fish.assay.rules import Strict


class Heights(Strict):
    """Heights of dots, before the frame's own are seen. A weight says how many observations the expected value counts for."""

    spread: float = Field(0.25, gt=0, le=1, description="standard deviation of ln(height) of the copies of a probe in one nucleus")
    spread_weight: float = Field(30.0, gt=0, description="copies that `spread` counts for")
    min_spread: float = Field(0.15, gt=0, description="least spread that a frame may show; less would be chance")
    max_spread: float = Field(0.5, gt=0, description="largest; a wider one has taken non-specific dots for copies")
    non_specific: float = Field(0.3, gt=0, le=1, description="median height of non-specific dots, in heights of the nucleus' copies")
    non_specific_spread: float = Field(0.5, gt=0, le=2, description="standard deviation of ln(height) of non-specific dots")
    non_specific_weight: float = Field(8.0, gt=0, description="dots that the two values count for")
    min_width_spread: float = Field(0.08, gt=0, description="least standard deviation of ln(width): the detector's scales are this coarse")
    width_weight: float = Field(5.0, gt=0, description="non-specific dots for which the width of copies is expected")
    odd_width: float = Field(0.05, gt=0, lt=1, description="density of widths that fit no dot; bounds what the width alone can say")


class Rates(Strict):
    """How often something is expected, before the frame's own dots are seen."""

    non_specific: float = Field(0.03, gt=0, description="non-specific dots in a nucleus, of one probe")
    non_specific_weight: float = Field(30.0, gt=0, description="nuclei that this rate counts for")
    one_copy_unseen: float = Field(0.03, gt=0, lt=0.5, description="share of normal nuclei that show one copy less of a probe")
    more_copies_unseen: float = Field(0.003, gt=0, lt=0.5, description="share that show still less")
    gain_of_one: float = Field(0.02, gt=0, lt=0.5, description="share of nuclei with a gain of one probe")
    gain_of_several: float = Field(0.01, gt=0, lt=0.5, description="share of nuclei with gains of several probes")
    tetraploid: float = Field(0.005, gt=0, lt=0.5, description="share of nuclei with twice the copies of every probe")
    cells_weight: float = Field(50.0, gt=0, description="nuclei that the three shares count for")
    gained_copies: tuple[float, ...] = Field(
        (0.4, 0.35, 0.2), min_length=1, description="shares of gains by one copy, two ...; the rest: more"
    )


class OtherLight(Strict):
    """Dots that light of another source may explain. A rate is relative to a dot that is a copy."""

    neighbour: float = Field(1.0, ge=0, description="of a dot that a neighbouring nucleus could own")
    whole_neighbour: float = Field(0.1, ge=0, description="the same where that nucleus has the expected copies without it")
    debris: float = Field(0.005, gt=0, description="specks of debris on a nucleus, before the frame's own are seen; not relative to a copy")
    debris_weight: float = Field(30.0, gt=0, description="nuclei that this rate counts for")
    met: float = Field(0.03, gt=0, lt=1, description="share of copies whose place shines in two other channels by chance")
    met_beyond: float = Field(0.015, gt=0, lt=1, description="the same of dots too many of two probes that lie at one place")
    granular: float = Field(0.3, ge=0, description="of a dot in a nucleus with granules that shine in all channels")
    lit_share: float = Field(0.3, gt=0, description="a place shines in another channel with at least this share of the dot's height there")
    reach_diameters: float = Field(0.3, gt=0, le=1, description="how far from the dot that light is looked for, signal diameters")
    granules_per_probe: float = Field(2.0, gt=0, description="so many dots that shine elsewhere, for each probe: a granular cell")


class Probability(Strict):
    """The probability that a cell is a CAC, and what follows from it."""

    automatic_above: float = Field(0.85, gt=0.5, lt=1, description="a cell is called a CAC without a look at this probability or above")
    review_above: float = Field(0.05, gt=0, lt=0.5, description="a cell goes to review above this one; at or below, it is no CAC")
    one_nucleus: float = Field(0.5, gt=0, lt=1, description="probability that an outline which may hold two nuclei or a part holds one")
    min_nuclei: int = Field(20, ge=5, description="fewer evaluable nuclei in a frame say too little: no probability, the fixed rules count")
    heights: Heights = Heights()
    rates: Rates = Rates()
    other_light: OtherLight = OtherLight()
