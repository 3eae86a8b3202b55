"""Limits of a slide's quality, as the assay sets them."""

from __future__ import annotations

from pydantic import Field

from cacapp.fish.assay.rules import Strict


class Limit(Strict):
    """Limits of a measure: beyond ``warn`` it is worth a look, beyond ``fail`` the channel is not used; None for no limit."""

    warn: float | None = Field(None, ge=0)
    fail: float | None = Field(None, ge=0)


class Quality(Strict):
    """Limits of the slide's quality. Below ``min_`` or above ``max_`` is worse."""

    min_nuclei: int = Field(10, ge=1, description="fewer evaluable nuclei in a frame or slide: nothing fails")
    min_sharpness: Limit = Limit(warn=0.45, fail=0.22)
    min_dapi_sharpness: Limit = Limit(warn=2.5, fail=1.0)
    max_background: Limit = Limit(warn=0.25, fail=0.6)
    min_snr: Limit = Limit(warn=1.5, fail=1.05)
    min_hybridised: Limit = Limit(warn=0.9, fail=0.5)
    max_full: Limit = Limit(warn=0.25, fail=0.5)
    max_flatness: Limit = Limit(warn=0.36, fail=0.45)
    min_width_um: Limit = Limit(warn=0.14, fail=0.12)
    max_inverted: Limit = Limit(warn=1.0, fail=2.5)
    max_clipped: Limit = Limit(warn=0.3, fail=0.97)
    max_gap: Limit = Limit(fail=4.0)
    min_steps: Limit = Limit(warn=12.0, fail=7.0)
    max_wrapped: Limit = Limit(warn=0.0005, fail=0.002)
    max_correlation: Limit = Limit(warn=0.4)
    max_spikes: Limit = Limit(warn=100.0, fail=2000.0)
    max_saturated: Limit = Limit(warn=0.01, fail=0.05)
    max_blockiness: Limit = Limit(warn=1.1)
    min_bits: Limit = Limit(warn=9.0)
    min_evaluable: Limit = Limit(warn=0.5)

    def problem(self) -> tuple[str, str] | None:
        """Return (key, what is wrong with it), None for consistent limits."""
        for name in type(self).model_fields:
            limit = getattr(self, name)
            if not isinstance(limit, Limit) or limit.warn is None or limit.fail is None:
                continue
            below = name.startswith("min_")
            if limit.fail > limit.warn if below else limit.fail < limit.warn:
                side = "above" if below else "below"
                return f"quality.{name} fail", f"{limit.fail:g} is {side} warn = {limit.warn:g}"
        return None
