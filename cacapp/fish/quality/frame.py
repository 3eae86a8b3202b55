"""The quality of one frame, measured while its signals are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cacapp.arrays.dot_shape import DotShape
from cacapp.arrays.grey_values import wrapped_share
from cacapp.arrays.quality import PlaneQuality, plane_quality, sample_outside
from cacapp.arrays.spikes import Despiked
from cacapp.fish.assay.model import Assay
from cacapp.fish.quality.slide import ChannelMeasures, failed_channels, judge_channels
from cacapp.fish.signals.judge import Spots
from cacapp.types import DAPI, Array, Instance, Shapes


@dataclass(frozen=True, slots=True)
class FrameQuality:
    """Measures by channel, DAPI first.

    Attributes:
        saturated: (N,) each nucleus' largest share of saturated pixels over all channels.
        plateau: (N,) diameter of each nucleus' largest patch of saturated pixels in a probe's channel, signal diameters.
        gated: nuclei that passed the gates.
    """

    channels: dict[str, ChannelMeasures]
    saturated: Array
    plateau: Array
    gated: int = 0

    def record(self) -> dict[str, Any]:
        """Return the measures as the ledger keeps them; ``evaluable``: nuclei that passed the gates, whatever the channels' quality."""
        nuclei = len(self.saturated)
        return {"nuclei": nuclei, "evaluable": self.gated, "channels": {c: m.record() for c, m in self.channels.items()}}


def measure_frame(
    planes: Mapping[str, Array],
    despiked: Mapping[str, Despiked],
    dots: Mapping[str, DotShape],
    nuclei: Sequence[Instance],
    focus: Array,
    shapes: Shapes,
    pixel_size_um: float | None,
    assay: Assay,
) -> FrameQuality:
    """Measure the planes, DAPI and the assay's probes.

    Args:
        planes: as the camera gave them; ``despiked``: the probes' without spikes, which would hide at which value pixels are full.
        dots: of the probes.
        focus: (N,) gradient energy of each nucleus in DAPI, see ``cacapp.arrays.focus``.
    """
    diameter_px = assay.signals.signal_diameter_px(pixel_size_um)
    outside = sample_outside(planes[DAPI].shape, nuclei)
    clean = {DAPI: planes[DAPI], **{c: despiked[c].plane for c in assay.channels}}
    found = {c: plane_quality(clean[c], nuclei, diameter_px / 2, outside) for c in (DAPI, *assay.channels)}
    measures = {c: _measures(q) for c, q in found.items()}
    for c in assay.channels:
        measures[c] = replace(
            measures[c],
            width=dots[c].sigma_px / diameter_px * assay.signals.diameter_um,
            flatness=dots[c].flatness,
            inverted=dots[c].darkness,
            spikes=despiked[c].n_pixels / planes[c].size * 1e6,
            wrapped=wrapped_share(planes[c]),
        )
    known = np.isfinite(focus)
    # times the squared radius: about the nucleus' radius over the blur of its edge, at any magnification
    outline = float(np.median(focus[known]) * np.median(shapes.area_px) / np.pi) if known.any() else float("nan")
    measures[DAPI] = replace(measures[DAPI], sharpness=outline)
    saturated = np.max([q.saturated for q in found.values()], axis=0) if nuclei else np.zeros(0)
    plateau = np.max([found[c].plateau_px / diameter_px for c in assay.channels], axis=0) if nuclei else np.zeros(0)
    return FrameQuality(measures, saturated, plateau)


def with_signals(quality: FrameQuality, spots: Mapping[str, Spots], counts: Array, evaluable: Array, assay: Assay) -> FrameQuality:
    """Add the measures that need the signals: SNR of the counted ones over the probe's minimum, nuclei with a signal.

    Args:
        counts: (N, P) signals.
        evaluable: (N,) bool, the nuclei that are measured.
    """
    n = int(evaluable.sum())
    channels = dict(quality.channels)
    channels[DAPI] = replace(channels[DAPI], nuclei=n)
    for column, probe in enumerate(assay.probes):
        s = spots[probe.channel]
        snr = s.snr[s.counts]
        channels[probe.channel] = replace(
            channels[probe.channel],
            snr=float(np.median(snr)) / probe.min_snr if len(snr) else float("nan"),
            steps=float(np.median(s.amplitude[s.counts])) / channels[probe.channel].step if len(snr) else float("nan"),
            signals=int((counts[evaluable, column] > 0).sum()),
            nuclei=n,
        )
    return replace(quality, channels=channels, gated=n)


def failures(quality: FrameQuality, assay: Assay) -> list[str]:
    """Return the channels of the frame that failed: no cell of it is called."""
    return failed_channels(judge_channels(quality.channels, assay.quality))


def _measures(q: PlaneQuality) -> ChannelMeasures:
    return ChannelMeasures(
        sharpness=q.sharpness,
        background=q.background / q.top,
        saturated=float(q.saturated.mean()) if len(q.saturated) else float("nan"),
        blockiness=q.blockiness,
        bits=float(np.log2((q.top + 1) / q.step)) if q.step >= 1 else float(q.top.bit_length()),
        fill=q.fill,
        full=float((q.saturated > 0).mean()) if len(q.saturated) else float("nan"),
        step=q.step,
        clipped=q.lowest,
        gap=q.gap,
        wrapped=q.wrapped,
        correlation=q.correlation,
    )
