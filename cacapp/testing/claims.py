"""The claims of all kinds of algorithms. A claim is a method ``test_*``; its docstring is the sentence that reports it."""

from __future__ import annotations

import pickle
import re
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from pydantic import ValidationError

from cacapp.api import API_VERSION, Algorithm
from cacapp.host import KINDS, parameters

UNITS = {"px": "px", "um": "µm", "um2": "µm²", "nm": "nm", "s": "s", "ms": "ms", "mb": "MB", "deg": "°", "ul": "µL"}
"""Unit by ending of a parameter's name: the description must state it."""


class ClaimError(AssertionError):
    """A claim that does not hold, in one line."""


def require(holds: object, line: str) -> None:
    """Raise ClaimError with ``line`` unless it holds. A plain assert has no message where pytest does not rewrite it."""
    if not holds:
        raise ClaimError(line)


T = TypeVar("T")


def pickled_again(one: T) -> T:
    """Return what another process gets that ``one`` is sent to. Raises ClaimError where it cannot be sent."""
    try:
        return cast(T, pickle.loads(pickle.dumps(one)))  # noqa: S301 pickled just now
    except Exception as error:
        raise ClaimError(f"it cannot be pickled: {type(error).__name__}: {' '.join(str(error).split())}") from error


class Contract:
    """The claims of every kind. Subclass that of your kind in a test, and give ``algorithm``.

    Attributes:
        algorithm: the class, which is built with its defaults, or an algorithm built with other parameters.
        memory_mb: what a process that works on a whole frame may take in all, MB.
    """

    kind: ClassVar[str]
    algorithm: ClassVar[type[Algorithm] | Algorithm]
    memory_mb: ClassVar[int] = 4096

    # The claims.

    def test_it_is_what_its_kind_asks_for(self) -> None:
        """It is an algorithm of its kind, with a name and the version of the plugin API it was written for."""
        one = self.built()
        base = KINDS[self.kind].base
        require(isinstance(one, base), f"{type(one).__name__} is no {base.__name__}")
        require(type(one).api_version <= API_VERSION, f"api_version {type(one).api_version} is newer than this cacapp's {API_VERSION}")
        require((type(one).__doc__ or "").strip(), f"{type(one).__name__} has no docstring: it is what `cacapp plugins show` prints")

    def test_parameters_are_documented_with_units(self) -> None:
        """Every parameter says what it is, with its unit, and every number has a bound."""
        for parameter in parameters(type(self.built())):
            suffix = parameter.name.rpartition("_")[2]
            require(parameter.description.strip(), f"{parameter.name} has no description")
            unit = UNITS.get(suffix) if "_" in parameter.name else None
            stated = unit is None or re.search(rf"(?<![\wµ]){re.escape(unit)}(?![\w²])", parameter.description)
            require(stated, f"{parameter.name} does not state its unit, {unit}: {parameter.description!r}")
            number = parameter.type.split(" or ")[0] in ("number", "integer")
            require(parameter.bounds or not number, f"{parameter.name} has no bounds: give ge, gt, le or lt")

    def test_parameters_survive_the_record(self) -> None:
        """Its parameters, written as JSON, build the same algorithm again; unknown ones are refused."""
        one = self.built()
        kept = one.model_dump(mode="json")
        again = type(one)(**kept)
        require(again.model_dump(mode="json") == kept, f"built again from {kept} it has {again.model_dump(mode='json')}")
        try:
            type(one)(**(kept | {"no_such_parameter_": 1}))
        except ValidationError:
            return
        raise ClaimError("an unknown parameter is taken without a word: keep extra='forbid'")

    # Shared by the claims.

    def built(self) -> Algorithm:
        """Return the algorithm; where a class was given, built with its defaults."""
        given = type(self).algorithm
        return given() if isinstance(given, type) else given


def same(one: Any, two: Any) -> bool:
    """Return whether two results are equal; arrays by dtype, shape and value."""
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return one.dtype == two.dtype and np.array_equal(one, two)
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    fields = getattr(one, "__dataclass_fields__", None)
    if fields and type(one) is type(two):
        return all(same(getattr(one, f), getattr(two, f)) for f in fields)
    return bool(one == two)
