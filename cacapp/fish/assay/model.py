"""The assay definition: probes, signals, nuclei, classes and criteria, read from a versioned TOML file and stored with every run."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PrivateAttr, StringConstraints

from cacapp.exceptions import UsageError
from cacapp.fish.assay.probability import Probability
from cacapp.fish.assay.quality import Quality
from cacapp.fish.assay.ratio import Ratio
from cacapp.fish.assay.rules import OTHER, CellClass, Name, Strict, Subtype, classify
from cacapp.types import Array

__all__ = ["Aggregate", "Assay", "BleedPair", "BleedThrough", "Debris", "Nuclei", "Patient", "Probe", "SignalRules", "Spikes", "Verdicts"]

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Probe(Strict):
    """A probe: the channel its dye shows in, the locus it binds, the copies of a normal nucleus."""

    channel: str
    locus: Text
    copies: int = Field(2, ge=1, description="signals of a normal nucleus")
    min_snr: float = Field(gt=0, description="a dot with a lower SNR does not count")


class Debris(Strict):
    """Debris: dots that look like signals and are none. ``_medians``: in multiples of the median over the frame's dots of that channel."""

    same_place_in_all_channels: bool = True
    radius_diameters: float = Field(0.5, gt=0, le=1, description="same place: within this many signal diameters")
    max_amplitude_medians: float = Field(8.0, gt=1, description="a brighter dot is debris")
    rim_amplitude_medians: float = Field(4.0, gt=1, description="a brighter dot off its nucleus' mask lies across its border: debris")
    rim_width_medians: float = Field(1.8, gt=1, description="and so does a wider one")
    min_signals: int = Field(30, ge=10, description="fewer dots in the frame: no limit in medians")


class BleedPair(Strict):
    """Light of the donor's dye in the acceptor's channel, at most ``max_share`` of the donor's amplitude."""

    donor: str
    acceptor: str
    max_share: float = Field(gt=0, lt=1)


class BleedThrough(Strict):
    """Bleed-through: a weak dot under a strong one of a neighbouring dye is that dye's light."""

    radius_diameters: float = Field(0.25, gt=0, le=1, description="same place: within this many signal diameters")
    min_donor_spots: int = Field(30, ge=1, description="fewer bright donor dots: max_share instead of the frame's own estimate")
    pairs: tuple[BleedPair, ...] = ()


class Spikes(Strict):
    """Spikes: pixels brighter than the optics can draw (hot pixels, cosmic rays). They are filled from their neighbours."""

    narrowest_um: float = Field(
        0.08, gt=0, le=2, description="standard deviation of a point as the objective draws it, µm: no dot is narrower"
    )
    narrowest_medians: float = Field(0.6, gt=0, le=1, description="nor narrower than this, in medians of the frame's own dots")
    min_sds: float = Field(5.5, ge=3, description="height beyond what the optics allow, standard deviations of its noise")
    treated_correlation: float = Field(0.4, ge=0, le=1, description="above it, of neighbouring pixels' noise, a picture was treated")
    treated_medians: float = Field(1.3, ge=1, description="in a treated picture nothing is filled below this multiple of narrowest_um")


class SignalRules(Strict):
    """Rules for the dots that count as signals."""

    diameter_um: float = Field(gt=0, description="of one signal, µm")
    diameter_px: float = Field(gt=0, description="of one signal where the pixel size is unknown, px")
    rim_tolerance_diameters: float = Field(ge=0, le=5, description="a dot this far outside a mask still belongs to it, signal diameters")
    contested_diameters: float = Field(
        1.0, ge=0, le=5, description="ambiguous: a dot's distance to a second nucleus plus its depth in its own, at most, signal diameters"
    )
    min_cac_margin: float = Field(0.0, ge=0, description="a CAC whose margin (SNR) is smaller goes to review as uncertain")
    snr_tail: float = Field(
        0.0, ge=0, description="threshold this many standard deviations below the frame's median (log SNR), near min_snr; 0: min_snr itself"
    )
    snr_sample: int = Field(100, ge=20, description="fewer signals of the channel in the frame: min_snr itself")
    min_relative_amplitude: float = Field(ge=0, lt=1, description="of the mean amplitude of the nucleus' brightest signals of the channel")
    debris: Debris = Debris()
    bleed_through: BleedThrough = BleedThrough()
    spikes: Spikes = Spikes()

    def signal_diameter_px(self, pixel_size_um: float | None) -> float:
        """Return the diameter of one signal in px; ``pixel_size_um`` None: the file's fallback."""
        return self.diameter_px if pixel_size_um is None else self.diameter_um / pixel_size_um


class Aggregate(Strict):
    """Several nuclei in one outline: all limits given are met."""

    min_area_medians: float = Field(gt=0, description="area, in multiples of the population's median")
    max_solidity: float | None = Field(None, gt=0, lt=1, description="less solid than this, None for any")
    min_elongation: float | None = Field(None, ge=1, description="length over width above this, None for any")


class Nuclei(Strict):
    """Gates of evaluable nuclei. ``_medians``: in multiples of the median over the population's single nuclei."""

    exclude_on_edge: bool = True
    max_edge_contact_diameters: float = Field(
        0.0, ge=0, lt=1, description="contact with the frame's edge of an evaluable nucleus, in diameters of the nucleus"
    )
    min_area_um2: float = Field(gt=0)
    max_area_um2: float = Field(gt=0)
    min_area_medians: float = Field(gt=0, lt=1, description="where the pixel size is unknown")
    max_area_medians: float = Field(gt=1, description="where the pixel size is unknown")
    min_solidity: float = Field(ge=0, lt=1)
    single_solidity: float = Field(ge=0, lt=1, description="the population's medians are taken over nuclei at least this solid")
    aggregates: tuple[Aggregate, ...] = Field((), description="a nucleus to which any of them applies is an aggregate")
    min_focus_medians: float = Field(ge=0, lt=1)
    min_population: int = Field(10, ge=3, description="fewer single nuclei: no gate relative to the population")
    max_saturated_share: float = Field(0.05, gt=0, le=1, description="of a nucleus' pixels, in any channel")
    max_plateau_diameters: float = Field(
        1.0,
        gt=0,
        description="largest patch of saturated pixels of an evaluable nucleus in a probe's channel, signal diameters",
    )
    max_signals: int = Field(20, ge=3, description="more signals of one probe than this are specks, not copies")
    exclude_without_signal: bool = Field(False, description="a nucleus without a signal in one channel; without any it is never evaluable")


class Verdicts(Strict):
    """The words of a patient's result: consistent with a risk group, for research use only, never a diagnosis."""

    increased: Text
    not_increased: Text
    insufficient: Text
    undetermined: Text
    equivocal: Text | None = Field(None, description="of a ratio between the limits")


class Patient(Strict):
    """Criteria of a patient's result."""

    threshold_per_100ul: float | None = Field(
        None, gt=0, description="CACs per 100 µL of blood from which the risk is called increased; None for a ratio assay"
    )
    min_evaluable_cells: int = Field(ge=1)
    confidence: float = Field(0.95, gt=0, lt=1, description="of the exact Poisson interval")
    without_subtypes: tuple[str, ...] = Field((), description="subtypes left out of the second count")
    verdicts: Verdicts


class Assay(Strict):
    """An assay definition. Read it with ``load_assay`` or ``parse_assay``: only then ``toml()`` and ``sha256`` are known."""

    name: Name
    version: Text
    description: str = ""
    cac_classes: tuple[str, ...] = Field(min_length=1)
    probes: tuple[Probe, ...] = Field(min_length=1, max_length=6)
    aliases: dict[str, tuple[Text, ...]] = Field({}, description="further names that files give a channel, by channel")
    signals: SignalRules
    nuclei: Nuclei
    classes: tuple[CellClass, ...] = Field(min_length=1)
    subtypes: tuple[Subtype, ...] = ()
    patient: Patient
    quality: Quality = Field(Quality(), description="limits of the slide's quality")
    probability: Probability | None = Field(None, description="constants of the probability of a CAC; None: counts alone decide")
    ratio: Ratio | None = Field(None, description="the patient's criterion of a ratio assay, in place of CACs per 100 µL")
    _text: str | None = PrivateAttr(default=None)
    _as_read: dict[str, Any] | None = PrivateAttr(default=None)

    @property
    def channels(self) -> tuple[str, ...]:
        """Return the channels of the probes in the order of the counts' columns."""
        return tuple(p.channel for p in self.probes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return all classes that a cell can get, in the order of evaluation, "other" last."""
        return (*(c.name for c in self.classes), OTHER)

    def is_cac(self, counts: Array) -> Array:
        """Return (N,) bool: the class of counts, (N, P) int, is one of ``cac_classes``."""
        cac = np.array([name in self.cac_classes for name in self.class_names])
        return np.asarray(cac[classify(counts, self.classes, self.channels)])

    def count_limits(self, channel: str) -> list[int]:
        """Return the counts > 0 of a probe from which on a condition of a class answers otherwise, sorted."""
        of_probe = [w for c in self.classes for w in c.when if w.probes is None or channel in w.probes]
        return sorted({w.at_least for w in of_probe if w.at_least} | {w.at_most + 1 for w in of_probe if w.at_most is not None})

    def read_from(self, text: str) -> Assay:
        """Return the assay with the complete text that it was read from."""
        self._text, self._as_read = text, self.model_dump()
        return self

    def toml(self) -> str:
        """Return the complete text: the exact file, or for one that inherits a text of the same values without a base.

        Raises UsageError for an assay built or changed in memory, which has no text.
        """
        if self._text is None or self._as_read != self.model_dump():
            raise UsageError(f"assay {self.name} was changed in memory and has no text to store; write it to a file and load that")
        return self._text

    @property
    def sha256(self) -> str:
        """Return the hex digest of ``toml()`` in UTF-8."""
        return hashlib.sha256(self.toml().encode()).hexdigest()
