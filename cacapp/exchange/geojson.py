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

MOST_OF_FRAME = 0.5
SEVERAL = 2
"""More places than this in an annotation, its own among them, make it a region: a nucleus may have a fragment drawn into it."""


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

    Left out are classes that QuPath ignores, whose names end with ``*``, and annotations that are regions: those around several nuclei,
    or over most of the frame.

    Raises:
        CacappError: no GeoJSON, or a feature that is no area in the frame; one line that names file and feature.
    """
    features = list(enumerate(_features(path), 1))
    found = [(number, feature) for number, feature in features if _kind(feature) in ("detection", "cell", "nucleus")]
    regions = set() if found else _regions([feature for _, feature in features], height_px, width_px)
    instances = []
    for number, feature in found or features:
        if _class(feature).endswith("*") or number in regions:
            continue
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


def _class(feature: dict[str, Any]) -> str:
    properties = feature.get("properties")
    named = properties.get("classification") if isinstance(properties, dict) else None
    return str(named.get("name", "") if isinstance(named, dict) else named or "")


def _regions(features: Sequence[dict[str, Any]], height_px: int, width_px: int) -> set[int]:
    """Return the numbers, from 1, of features that are regions and no nuclei."""
    from shapely import STRtree
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    areas = {}
    for number, feature in enumerate(features, 1):
        try:
            areas[number] = make_valid(shape(feature["geometry"]))
        except (ShapelyError, ValueError, TypeError, IndexError, KeyError, AttributeError):
            continue  # the function that rasterizes it reports what is wrong
    tree = STRtree([area.representative_point() for area in areas.values() if not area.is_empty])
    return {
        number
        for number, area in areas.items()
        if area.area > MOST_OF_FRAME * height_px * width_px or len(tree.query(area, "contains")) > SEVERAL
    }


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
