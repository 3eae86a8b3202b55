"""Static files: our own, and Leaflet and htmx from their packages. They need no login, since they hold no data of patients."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from cacapp.exceptions import CacappError
from cacapp.review.not_found import NotFound
from cacapp.review.routing import Route

router = APIRouter(include_in_schema=False, route_class=Route)
OWN_FILES = ("review.css", "review.js", "sprites.js", "gallery.js", "cell.js", "frame.js", "worklist.js", "waiting.js", "icon.svg")
PACKAGE_FILES = {
    "leaflet.js": ("xstatic.pkg.leaflet", "data/leaflet.js"),
    "leaflet.css": ("xstatic.pkg.leaflet", "data/leaflet.css"),
    "htmx.js": ("js_lib_htmx", "static/htmx/htmx.min.js"),
}
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
CACHE_HEADERS = {"Cache-Control": "public, max-age=86400"}


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Return one of the listed files."""
    if name not in OWN_FILES and name not in PACKAGE_FILES:
        raise NotFound("there is no such file")
    return Response(_content(name), media_type=MEDIA_TYPES[Path(name).suffix], headers=CACHE_HEADERS)


@router.get("/healthz")
async def health() -> dict[str, str]:
    """Answer a proxy's health check."""
    return {"status": "ok"}


@lru_cache(maxsize=32)
def _content(name: str) -> bytes:
    if name in OWN_FILES:
        return (resources.files("cacapp.review") / "static" / name).read_bytes()
    package, path = PACKAGE_FILES[name]
    try:
        return resources.files(package).joinpath(path).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        raise CacappError(f"{name} is missing from this installation: pip install 'cacapp[review]'") from None
