"""The operations that the process of an isolated plugin serves: describe, build and run its algorithms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cacapp.api import Algorithm, Segmenter, TrainableSegmenter
from cacapp.exceptions import CacappError
from cacapp.host import guard
from cacapp.host.discover import Host
from cacapp.host.parameters import schemas
from cacapp.host.registered import Registered
from cacapp.isolation import values
from cacapp.types import Array

PROBLEM = ("plugin", "distribution", "message", "kind", "name")

Arrays = Mapping[str, Array]
Answer = tuple[dict[str, Any], dict[str, Array]]


def handlers(arguments: Sequence[str]) -> dict[str, Callable[[dict[str, Any], Arrays], Answer]]:
    """Return the operations for the plugins of one name, a plugin's or a distribution's: the only argument."""
    (name,) = arguments
    host = Host.of(name)

    def built(meta: Mapping[str, Any]) -> Algorithm:
        return host.build(meta["kind"], meta["name"], meta["params"])

    def describe(meta: Mapping[str, Any], arrays: Arrays) -> Answer:
        problems = [{name: getattr(p, name) for name in PROBLEM} for p in host.problems]
        return {"algorithms": [_described(r) for r in host.algorithms()], "problems": problems}, {}

    def build(meta: Mapping[str, Any], arrays: Arrays) -> Answer:
        return {"params": built(meta).model_dump(mode="json")}, {}

    def weights(meta: Mapping[str, Any], arrays: Arrays) -> Answer:
        return {"sha256": built(meta).weights_sha256()}, {}

    def prompt(meta: Mapping[str, Any], arrays: Arrays) -> Answer:
        one: Any = built(meta)
        found = _called(one, lambda: guard.prompt(one, arrays["image"], meta["pixel_size_um"]))
        return {}, values.pack_prompts(found)

    def segment(meta: Mapping[str, Any], arrays: Arrays) -> Answer:
        one: Any = built(meta)
        prompts = values.unpack_prompts(arrays)
        found = _called(one, lambda: guard.segment(one, arrays["image"], prompts, meta["pixel_size_um"]))
        return {}, values.pack_instances(found)

    def judge(meta: Mapping[str, Any], arrays: Arrays) -> Answer:
        one: Any = built(meta)
        shapes = values.unpack_shapes(arrays, meta["pixel_size_um"])
        reasons, limits = _called(one, lambda: guard.judge(one, shapes))
        return {"reasons": reasons, "limits": limits}, {}

    def detect(meta: Mapping[str, Any], arrays: Arrays) -> Answer:
        one: Any = built(meta)
        nuclei = values.unpack_instances(arrays)
        found = _called(one, lambda: guard.detect(one, arrays["image"], nuclei, meta["pixel_size_um"]))
        return {}, values.pack_signals(found)

    return {f.__name__: f for f in (describe, build, weights, prompt, segment, judge, detect)}


def _described(found: Registered) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "name": found.name,
        "plugin": found.plugin,
        "distribution": found.distribution,
        "version": found.version,
        "class": found.cls.__name__,
        "about": found.cls.__doc__ or "",
        "needs_prompts": bool(getattr(found.cls, "needs_prompts", True)) if issubclass(found.cls, Segmenter) else None,
        "trainable": issubclass(found.cls, TrainableSegmenter),
        "parameters": schemas(found.cls),
    }


def _called(algorithm: Algorithm, work: Callable[[], Any]) -> Any:
    """Return the result. An error is raised without the name it begins with: the parent adds it."""
    try:
        return work()
    except CacappError as error:
        raise type(error)(str(error).removeprefix(f"{guard.described(algorithm)}: ")) from error
