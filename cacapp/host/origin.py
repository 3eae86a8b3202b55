"""The origin of a built algorithm, stored on the algorithm itself so that worker processes can name it too."""

from __future__ import annotations

from cacapp.api import Algorithm

_KEY = "_cacapp_origin"


def stamp(algorithm: Algorithm, origin: str) -> None:
    """Store the origin on an algorithm.

    It is stored where ``functools.cached_property`` keeps its values: pydantic pickles and copies it, and leaves it out of fields, dumps,
    comparison and hash.
    """
    algorithm.__dict__[_KEY] = origin


def origin_of(algorithm: Algorithm) -> str:
    """Return plugin and distribution of an algorithm that the host built; the module of any other."""
    return str(algorithm.__dict__.get(_KEY, f"module {type(algorithm).__module__}"))
