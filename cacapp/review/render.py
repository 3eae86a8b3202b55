"""HTML responses from templates: every value escaped, no inline script or style."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib import resources
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from cacapp import __version__
from cacapp.fish.review import REASONS
from cacapp.report import palette, wording
from cacapp.review.authorisation import Visitor
from cacapp.types import CHANNELS


def page(request: Request, template: str, visitor: Visitor | None, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a page, or a part of one."""
    text = _environment().get_template(template).render(visitor=visitor, path=request.url.path, single=_single(request), **values)
    return HTMLResponse(text, status_code=status)


def _single(request: Request) -> bool:
    return request.app.state.settings.owner is not None


@lru_cache(maxsize=1)
def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("cacapp.review"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.filters.update(
        integer=wording.integer,
        number=wording.number,
        moment=wording.moment,
        plain=wording.plain,
        as_json=lambda value: json.dumps(value, ensure_ascii=True, separators=(",", ":")),
    )
    env.globals.update(
        plural=wording.plural,
        percent=wording.percent,
        research_use=wording.RESEARCH_USE,
        version=__version__,
        asset=asset,
        dyes={c: palette.css(palette.dye(c)) for c in CHANNELS},
        tone=_tone,
        reject_reasons=REASONS,
    )
    return env


def asset(name: str) -> str:
    """Return the address of a file in static/ with its digest, so that browsers cache it until it changes."""
    return f"/static/{name}?v={_digest(name)}"


@lru_cache(maxsize=32)
def _digest(name: str) -> str:
    return hashlib.sha256((resources.files("cacapp.review") / "static" / name).read_bytes()).hexdigest()[:12]


def _tone(verdict: str | None) -> str:
    """Return the style of a verdict: "raised", "settled", or "open"."""
    if verdict is None:
        return "open"
    return "raised" if verdict.startswith("increased") else "settled" if verdict.startswith("not increased") else "open"
