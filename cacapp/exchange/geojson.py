"""GeoJSON for QuPath: one Feature a nucleus, coordinates in px."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cacapp.exceptions import CacappError
from cacapp.exchange.nucleus import Nucleus
from cacapp.exchange.outline import make_valid, polygon, rasterize
from cacapp.types import Instance


def geojson(nuclei: Sequence[Nucleus]) -> bytes:
    """Return a FeatureCollection of detections, each with class and counts."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [polygon(nucleus.instance)]},
            "properties": {
                "objectType": "detection",
                "name": str(nucleus.label),
                "classification": {"name": nucleus.call},
                "measurements": {"area_px": nucleus.area_px, **nucleus.counts},
            },
        }
        for nucleus in nuclei
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def read_geojson(path: Path, height_px: int, width_px: int) -> list[Instance]:
    """Read the nuclei of a frame of (height_px, width_px): detections and cells (their nuclei), else annotations.

    Raises:
        CacappError: no GeoJSON, or a feature that is no area in the frame; one line that names file and feature.
    """
    found = [(number, feature) for number, feature in enumerate(_features(path), 1) if _kind(feature) in ("detection", "cell", "nucleus")]
    instances = []
    for number, feature in found or list(enumerate(_features(path), 1)):
        try:
            instances.append(_instance(feature, height_px, width_px))
        except CacappError as error:
            raise CacappError(f"{path}: feature {number}: {error}") from error
    return instances


def _features(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise CacappError(f"{path}: no JSON; export it again as GeoJSON") from None
    if isinstance(content, dict):
        content = content.get("features") if content.get("type") == "FeatureCollection" else [content]
    if not isinstance(content, list) or not all(isinstance(f, dict) and f.get("type") == "Feature" for f in content):
        raise CacappError(f"{path}: no GeoJSON of Features, as QuPath exports objects; export it again")
    return content


def _kind(feature: dict[str, Any]) -> str:
    properties = feature.get("properties")
    return str(properties.get("objectType", "")) if isinstance(properties, dict) else ""


def _instance(feature: dict[str, Any], height_px: int, width_px: int) -> Instance:
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    geometry = feature.get("nucleusGeometry") or feature.get("geometry")
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise CacappError(f"is {f'a {kind}' if kind else 'without a geometry'}; a nucleus is a Polygon or a MultiPolygon")
    try:
        area = shape(geometry)
    except (ShapelyError, ValueError, TypeError, IndexError, KeyError, AttributeError):
        raise CacappError("its coordinates are no rings of x, y") from None
    return rasterize(make_valid(area), height_px, width_px)
