"""The operations that the process of an isolated plugin serves: describe, build and run its algorithms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cacapp.api import Algorithm, Reader
from cacapp.exceptions import CacappError
from cacapp.host import guard, guard_reader
from cacapp.host.discover import Host
from cacapp.host.isolated import description
from cacapp.isolation import values
from cacapp.scene import Scene
from cacapp.types import Array

PROBLEM = ("plugin", "distribution", "message", "kind", "name")

KEPT_OPEN = 4
"""Number of files that a reader's process keeps open."""

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
        return {"algorithms": [description(r) for r in host.algorithms()], "problems": problems}, {}

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

    opened = _Opened()

    def claims(meta: Mapping[str, Any], arrays: Arrays) -> Answer:
        one: Any = built(meta)
        return {"claims": _called(one, lambda: guard_reader.claims(one, Path(meta["path"])))}, {}

    def scenes(meta: Mapping[str, Any], arrays: Arrays) -> Answer:
        one: Any = built(meta)
        found = _called(one, lambda: opened.scenes(one, Path(meta["path"]), anew=True))
        return {"scenes": [values.pack_scene(scene) for scene in found]}, {}

    def plane(meta: Mapping[str, Any], arrays: Arrays) -> Answer:
        one: Any = built(meta)
        return {}, {"plane": _called(one, lambda: opened.scenes(one, Path(meta["path"]))[meta["scene"]].read(meta["index"], meta["z"]))}

    def examples(meta: Mapping[str, Any], arrays: Arrays) -> Answer:
        one: Any = built(meta)
        return {"paths": [str(path) for path in guard_reader.examples(one, Path(meta["path"]))]}, {}

    every = (describe, build, weights, prompt, segment, judge, detect, claims, scenes, plane, examples)
    return {f.__name__: f for f in every}


class _Opened:
    """The files that readers opened last, so that their planes are read without opening them again."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, Path], list[Scene]] = {}

    def scenes(self, reader: Reader, path: Path, anew: bool = False) -> list[Scene]:
        key = type(reader).name, path
        found = None if anew else self._kept.get(key)
        if found is None:
            found = guard_reader.scenes(reader, path)
            self._kept.pop(key, None)
            while len(self._kept) >= KEPT_OPEN:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = found
        return found


def _called(algorithm: Algorithm, work: Callable[[], Any]) -> Any:
    """Return the result. An error is raised without the name it begins with: the parent adds it."""
    try:
        return work()
    except CacappError as error:
        raise type(error)(str(error).removeprefix(f"{guard.described(algorithm)}: ")) from error
