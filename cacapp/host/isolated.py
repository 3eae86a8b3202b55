"""Stand-ins for algorithms that are loaded and run in a process of their own: each call is a question to that process.

Nothing of the plugin is imported here. A stand-in has the algorithm's name, kind, docstring and parameters, so that commands, records and
fingerprints are the same as for the algorithm itself.
"""

from __future__ import annotations

import atexit
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn, cast

import numpy as np
from pydantic import Field, create_model

from cacapp.api import (
    API_VERSION,
    Algorithm,
    InstanceFilter,
    Prompter,
    Reader,
    Segmenter,
    SignalDetector,
    TrainableSegmenter,
    TrainingProgress,
    TrainingSamples,
)
from cacapp.exceptions import CacappError
from cacapp.host.parameters import schemas
from cacapp.host.registered import Registered
from cacapp.isolation import ChildProcess, Limits, values
from cacapp.scene import Scene
from cacapp.types import Array, Instance, Prompts, Shapes, Signals

MARGIN_BYTES = 2**26
ANSWER_PER_PIXEL = 16
"""Bytes an answer may have for each pixel: masks may overlap many times before it is refused."""

READ_S = 120.0
"""Time that a reader may take for a file's description or for a plane, where the configuration sets none, s."""


@dataclass(frozen=True, slots=True)
class PluginProcessConfig:
    """The process of an isolated plugin: the plugin's name (or its distribution's) and the limits of the process."""

    name: str
    limits: Limits


_lock = threading.Lock()
_children: dict[PluginProcessConfig, ChildProcess] = {}


def child_of(config: PluginProcessConfig) -> ChildProcess:
    """Return the process of a plugin; each process of cacapp has one of its own."""
    with _lock:
        if config not in _children:
            _children[config] = ChildProcess("cacapp.host.child", [config.name], config.limits)
        return _children[config]


@atexit.register
def _close_all() -> None:
    for child in _children.values():
        child.close()


class Isolated(Algorithm):
    """Common base of the stand-ins."""

    process_config: ClassVar[PluginProcessConfig]
    kind: ClassVar[str]
    described: ClassVar[str]

    def weights_sha256(self) -> str | None:
        found = self._asked("weights")[0].get("sha256")
        return found if isinstance(found, str) else None

    @classmethod
    def checked(cls, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return all parameters as the algorithm itself reads them. Raises its UsageError where it refuses one."""
        meta, _ = child_of(cls.process_config).ask("build", {"kind": cls.kind, "name": cls.name, "params": dict(params)})
        found = meta.get("params")
        if not isinstance(found, dict) or set(found) != set(cls.model_fields):
            raise CacappError(f"{cls.kind} {cls.name!r}: its process answered with other parameters than it described")
        return found

    def _asked(
        self,
        op: str,
        arrays: Mapping[str, Array] | None = None,
        pixel_size_um: float | None = None,
        at_most: int = MARGIN_BYTES,
        **more: Any,
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        meta = {"kind": self.kind, "name": self.name, "params": self.model_dump(mode="json"), "pixel_size_um": pixel_size_um, **more}
        return child_of(self.process_config).ask(op, meta, arrays, at_most)

    def __reduce__(self) -> tuple[Any, ...]:
        # the class is made in this process, and made again where the stand-in is sent
        extra = {name: value for name, value in self.__dict__.items() if name not in type(self).model_fields}
        return _remade, (self.process_config, self.described, self.model_dump(mode="json"), extra)


class IsolatedPrompter(Isolated, Prompter):
    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        return values.unpack_prompts(self._asked("prompt", {"image": dapi}, pixel_size_um, _bound(dapi))[1])


class IsolatedSegmenter(Isolated, Segmenter):
    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        given = {"image": dapi} | values.pack_prompts(prompts)
        return values.unpack_instances(self._asked("segment", given, pixel_size_um, _bound(dapi))[1])


class IsolatedTrainable(IsolatedSegmenter, TrainableSegmenter):
    def train(self, samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress) -> Path:
        raise CacappError(f"{self.name!r} cannot be trained in a process of its own; train it without isolation in the configuration")


class IsolatedFilter(Isolated, InstanceFilter):
    def judge(self, shapes: Shapes) -> list[str | None]:
        reasons = self._judged(shapes).get("reasons")
        return reasons if isinstance(reasons, list) else self._garbage("reasons")

    def limits(self, shapes: Shapes) -> dict[str, float]:
        limits = self._judged(shapes).get("limits")
        return limits if isinstance(limits, dict) else self._garbage("limits")

    def _judged(self, shapes: Shapes) -> dict[str, Any]:
        return self._asked("judge", values.pack_shapes(shapes), shapes.pixel_size_um)[0]

    def _garbage(self, what: str) -> NoReturn:
        raise CacappError(f"its process answered without {what}")


class IsolatedDetector(Isolated, SignalDetector):
    def detect(self, plane: Array, nuclei: Sequence[Instance], pixel_size_um: float | None) -> Signals:
        given = {"image": plane} | values.pack_instances(nuclei)
        return values.unpack_signals(self._asked("detect", given, pixel_size_um, _bound(plane))[1])


class IsolatedReader(Isolated, Reader):
    @classmethod
    def checked(cls, params: Mapping[str, Any]) -> dict[str, Any]:
        return dict(params)  # it has none: choosing a reader starts no process

    def claims(self, path: Path, start: bytes) -> bool:
        return cast(bool, self._asked("claims", path=_sent(path))[0].get("claims"))

    def scenes(self, path: Path) -> list[Scene]:
        found = self._asked("scenes", path=_sent(path))[0].get("scenes")
        if not isinstance(found, list):
            raise CacappError("its process answered without scenes")
        return [values.unpack_scene(fields, partial(self._plane, path, n, fields)) for n, fields in enumerate(found)]

    def examples(self, folder: Path) -> list[Path]:
        found = self._asked("examples", path=_sent(folder))[0].get("paths")
        return [Path(path) for path in found] if isinstance(found, list) else []

    def _plane(self, path: Path, number: int, fields: Mapping[str, Any], index: int, z: int) -> Array:
        at_most = MARGIN_BYTES + int(fields["height_px"]) * int(fields["width_px"]) * np.dtype(fields["dtype"]).itemsize
        _, arrays = self._asked("plane", at_most=at_most, path=_sent(path), scene=number, index=index, z=z)
        if "plane" not in arrays:
            raise CacappError("its process answered without a plane")
        return arrays["plane"]


def _sent(path: Path) -> str:
    return str(path.absolute())


STAND_INS: Mapping[str, type[Isolated]] = {
    "prompter": IsolatedPrompter,
    "segmenter": IsolatedSegmenter,
    "filter": IsolatedFilter,
    "signal-detector": IsolatedDetector,
    "reader": IsolatedReader,
}


def stand_in(config: PluginProcessConfig, described: Mapping[str, Any]) -> type[Isolated]:
    """Return the class that stands for a described algorithm. Raises an exception where the description is incomplete."""
    if described["kind"] == "reader" and config.limits.timeout_s is None:
        config = replace(config, limits=replace(config.limits, timeout_s=READ_S))
    return _made(config, json.dumps(described))


def description(found: Registered) -> dict[str, Any]:
    """Return what a stand-in needs to know of an algorithm, as JSON values."""
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
        "suffixes": list(found.cls.suffixes) if issubclass(found.cls, Reader) else None,
        "parameters": schemas(found.cls),
    }


@lru_cache(maxsize=256)
def _made(config: PluginProcessConfig, described: str) -> type[Isolated]:
    about: dict[str, Any] = json.loads(described)
    base = IsolatedTrainable if about["trainable"] and about["kind"] == "segmenter" else STAND_INS[about["kind"]]
    fields: dict[str, Any] = {
        str(name): (
            Any,
            Field(default=_as_declared(p["default"]), description=str(p["description"]), json_schema_extra=_checked_schema(p["schema"])),
        )
        for name, p in about["parameters"].items()
    }
    made: type[Algorithm] = create_model(str(about["class"]), __base__=base, __doc__=str(about["about"]), **fields)
    own = {
        "name": str(about["name"]),
        "api_version": API_VERSION,
        "kind": str(about["kind"]),
        "process_config": config,
        "described": described,
    }
    if issubclass(made, Segmenter):
        own["needs_prompts"] = bool(about["needs_prompts"])
    if issubclass(made, Reader):
        own["suffixes"] = tuple(map(str, about["suffixes"]))
    for attribute, value in own.items():
        setattr(made, attribute, value)
    return cast(type[Isolated], made)


def _as_declared(default: Any) -> Any:
    """Return a default as an algorithm declares it: JSON has lists in place of tuples."""
    return tuple(default) if isinstance(default, list) else default


def _checked_schema(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, dict):
        raise TypeError("a parameter's schema is no table")
    return schema


def _remade(config: PluginProcessConfig, described: str, params: Mapping[str, Any], extra: Mapping[str, Any]) -> Isolated:
    built = _made(config, described)(**params)
    built.__dict__.update(extra)
    return built


def _bound(image: Array) -> int:
    return MARGIN_BYTES + ANSWER_PER_PIXEL * image.size
