"""Files the pages need: our own, and Leaflet and htmx out of the packages that carry them. No login: they say nothing of anyone."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from cacapp.exceptions import CacappError
from cacapp.review.not_found import NotFound

router = APIRouter(include_in_schema=False)
OURS = ("review.css", "review.js", "sprites.js", "gallery.js", "cell.js", "frame.js", "worklist.js", "icon.svg")
THEIRS = {
    "leaflet.js": ("xstatic.pkg.leaflet", "data/leaflet.js"),
    "leaflet.css": ("xstatic.pkg.leaflet", "data/leaflet.css"),
    "htmx.js": ("js_lib_htmx", "static/htmx/htmx.min.js"),
}
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
KEPT = {"Cache-Control": "public, max-age=86400"}


@router.get("/static/{name}")
def static(name: str) -> Response:
    """A file by name; there are no others."""
    if name not in OURS and name not in THEIRS:
        raise NotFound("there is no such file")
    return Response(_content(name), media_type=TYPES[Path(name).suffix], headers=KEPT)


@router.get("/healthz")
def healthy() -> dict[str, str]:
    """For a proxy that asks whether the server is there."""
    return {"status": "ok"}


@lru_cache(maxsize=32)
def _content(name: str) -> bytes:
    if name in OURS:
        return (resources.files("cacapp.review") / "static" / name).read_bytes()
    package, path = THEIRS[name]
    try:
        return resources.files(package).joinpath(path).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        raise CacappError(f"{name} is missing from this installation: pip install 'cacapp[review]'") from None
