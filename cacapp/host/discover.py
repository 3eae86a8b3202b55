"""Finds plugins through the entry-point group ``cacapp`` and keeps what they offer, with what was wrong with the rest."""

from __future__ import annotations

import difflib
import importlib.metadata
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pluggy
from pydantic import ValidationError

from cacapp import hookspecs
from cacapp.api import API_VERSION, Algorithm, InstanceFilter, Prompter, Segmenter, SignalDetector
from cacapp.exceptions import CacappError, UsageError
from cacapp.host.isolated import Home, Isolated, child_of, stand_in
from cacapp.host.origin import stamp
from cacapp.host.parts import hand_over
from cacapp.host.settings import PluginSettings
from cacapp.host.tampering import put_back, snapshot

GROUP = "cacapp"
LOG = logging.getLogger(__name__)

NAME = re.compile(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")


class Kind(NamedTuple):
    """A kind of algorithm: the hook that collects it and the class it must subclass."""

    hook: str
    base: type[Algorithm]


KINDS: Mapping[str, Kind] = {
    "prompter": Kind("cacapp_prompters", Prompter),
    "segmenter": Kind("cacapp_segmenters", Segmenter),
    "filter": Kind("cacapp_filters", InstanceFilter),
    "signal-detector": Kind("cacapp_signal_detectors", SignalDetector),
}


@dataclass(frozen=True, slots=True)
class Registered:
    """An algorithm class and where it comes from."""

    kind: str
    name: str
    cls: type[Algorithm]
    plugin: str
    distribution: str
    version: str

    @property
    def origin(self) -> str:
        return f"plugin {self.plugin!r} of {self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a plugin, or one algorithm of it, is not available: one line that names it."""

    plugin: str
    distribution: str
    message: str
    kind: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {self.distribution}: {self.message}"


class _Source(NamedTuple):
    """Where a plugin comes from."""

    plugin: str
    distribution: str
    version: str

    def problem(self, message: str, kind: str | None = None, name: str | None = None) -> Problem:
        return Problem(self.plugin, f"{self.distribution} {self.version}", message, kind, name)


class Host:
    """The plugins of one process. Nothing global: make one and pass it on.

    Args:
        exclude: plugin (entry-point) or distribution names to keep out.
    """

    def __init__(self, exclude: Iterable[str] = ()) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._exclude = frozenset(map(_normal, exclude))
        self._found: list[Registered] = []
        self._warned: set[tuple[Registered, str]] = set()
        self.problems: list[Problem] = []

    @classmethod
    def discover(cls, exclude: Iterable[str] = (), settings: Mapping[str, PluginSettings] | None = None) -> Host:
        """A host with every installed plugin; the broken ones are in ``problems``.

        Args:
            settings: of the configuration, by name: those that are not enabled are kept out, isolated ones are not loaded here.
        """
        settings = settings or {}
        host = cls([*exclude, *(name for name, s in settings.items() if not s.enabled)])
        homes = [Home(name, s.limits) for name, s in settings.items() if s.enabled and s.isolation == "process"]
        for point in _points():
            if not any(_named(point, home.name) for home in homes):
                host._load(point)
        for home in homes:
            host._load_apart(home)
        return host

    @classmethod
    def of(cls, name: str) -> Host:
        """A host with the plugins of one name, their own or their distribution's, and no others."""
        host = cls()
        for point in _points():
            if _named(point, name):
                host._load(point)
        return host

    def register(self, plugin: object, name: str, distribution: str = "this process", version: str = "0") -> None:
        """Adds a plugin (a module, class or object with hook implementations) and collects its algorithms."""
        if self._excluded(name, distribution):
            return
        source = _Source(name, distribution, version)
        wrong = self._misspelled(plugin)
        if wrong:
            self.problems.append(source.problem(wrong))
            return
        try:
            # two distributions may give their entry points the same name
            self._manager.register(plugin, name=f"{_normal(distribution)}:{name}")
        except Exception as error:
            self.problems.append(source.problem(f"cannot be registered: {_line(error)}"))
            return
        for kind in KINDS:
            self._collect(kind, plugin, source)

    def algorithms(self, kind: str | None = None) -> list[Registered]:
        """What is available, duplicates included, sorted by kind and name."""
        order = list(KINDS)
        return sorted((r for r in self._found if kind in (None, r.kind)), key=lambda r: (order.index(r.kind), r.name))

    def find(self, kind: str, name: str) -> Registered:
        """The one algorithm of that kind and name. Raises UsageError for an unknown, broken or ambiguous name."""
        matches = [r for r in self._found if r.kind == kind and r.name == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            origins = " and ".join(r.origin for r in matches)
            raise UsageError(f"two {kind}s are named {name!r}: {origins}; uninstall one, or keep one out with --no-plugin NAME")
        broken = next((p for p in self.problems if p.kind == kind and p.name == name), None)
        if broken:
            raise CacappError(f"{kind} {name!r} cannot be used: {broken}")
        names = sorted({r.name for r in self._found if r.kind == kind})
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        failed = "; ".join(str(p) for p in self.problems if p.kind is None)
        raise UsageError(
            f"no {kind} named {name!r}: {hint}there are {', '.join(names) or 'none'}{'; not loaded: ' + failed if failed else ''}"
        )

    def build(
        self, kind: str, name: str, params: Mapping[str, Any] | None = None, *, _within: tuple[tuple[str, str], ...] = ()
    ) -> Algorithm:
        """The algorithm with these parameters. Raises UsageError naming plugin and parameter where one is unknown or out of range."""
        found = self.find(kind, name)
        try:
            given = found.cls.checked(params or {}) if issubclass(found.cls, Isolated) else params or {}
            built = found.cls(**given)
            stamp(built, found.origin)
            made_of = tuple(built.parts())
        except UsageError:
            raise
        except CacappError as error:
            raise CacappError(f"{kind} {name!r} ({found.origin}): {error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(p) for p in first["loc"]) or "parameters"
            if first["type"] == "extra_forbidden":
                fields = list(found.cls.model_fields)
                what = f"unknown parameter; it has {', '.join(fields) or 'none'}"
            else:
                message = " ".join(first["msg"].split())
                what = f"{message[:1].lower()}{message[1:]}, got {first['input']!r}"
            raise UsageError(f"{kind} {name!r} ({found.origin}): {field}: {what} (see: cacapp plugins show {name})") from error
        except Exception as error:
            raise CacappError(f"{kind} {name!r} ({found.origin}) cannot be built: {_line(error)}") from error
        self._warn_of_deprecated(found, params or {})
        if made_of:
            within = (*_within, (kind, name))
            if any(part in within for part in made_of):
                raise UsageError(f"{kind} {name!r} ({found.origin}): it is made of itself")
            hand_over(built, [self.build(*part, _within=within) for part in made_of])
        return built

    def _warn_of_deprecated(self, found: Registered, given: Mapping[str, Any]) -> None:
        """A line for each parameter set that its author has marked ``Field(deprecated="what to do instead")``, the first time."""
        for name, value in given.items():
            info = found.cls.model_fields[name]
            if not info.deprecated or value == info.get_default(call_default_factory=True) or (found, name) in self._warned:
                continue
            self._warned.add((found, name))
            instead = info.deprecated if isinstance(info.deprecated, str) else getattr(info.deprecated, "message", "it will go")
            LOG.warning("%s %r (%s): parameter %s is deprecated: %s", found.kind, found.name, found.origin, name, instead)

    def _load(self, point: importlib.metadata.EntryPoint) -> None:
        distribution = point.dist.name if point.dist else "unknown distribution"
        version = point.dist.version if point.dist else "?"
        if self._excluded(point.name, distribution):
            return
        before = snapshot()
        source = _Source(point.name, distribution, version)
        try:
            plugin = point.load()
            self.register(plugin, point.name, distribution, version)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self.problems.append(source.problem(f"cannot be loaded: {_line(error)}"))
        changed = put_back(before)
        if changed:
            self._found = [r for r in self._found if (r.plugin, r.distribution) != (point.name, distribution)]
            why = f"replaces {changed[0]} for all in its process, which is put back; run it in one of its own (isolation) if you trust it"
            self.problems.append(source.problem(f"is not used: it {why}"))

    def _load_apart(self, home: Home) -> None:
        """Stand-ins for what a plugin in a process of its own describes."""
        if self._excluded(home.name, home.name):
            return
        there = f" for {home.limits.python}" if home.limits.python else ""
        source = _Source(home.name, "the configuration", "isolation")
        try:
            meta, _ = child_of(home).ask("describe")
            for p in meta["problems"]:
                self.problems.append(Problem(str(p["plugin"]), str(p["distribution"]), str(p["message"]), p["kind"], p["name"]))
            described = [(told, stand_in(home, told)) for told in meta["algorithms"]]
        except CacappError as error:
            self.problems.append(source.problem(f"cannot be loaded{there}: {error}"))
            return
        except Exception as error:
            self.problems.append(source.problem(f"cannot be loaded{there}: its process described no algorithms ({_line(error)})"))
            return
        if not described and not meta["problems"]:
            self.problems.append(source.problem(f"no plugin or distribution of this name is installed{there}"))
        for told, cls in described:
            source = _Source(*(str(told[key]) for key in ("plugin", "distribution", "version")))
            if not self._excluded(source.plugin, source.distribution):
                self._offer(cls.kind, cls, source)

    def _excluded(self, name: str, distribution: str) -> bool:
        return not self._exclude.isdisjoint((_normal(name), _normal(distribution)))

    def _misspelled(self, plugin: object) -> str | None:
        """What is wrong with a plugin's hooks, or None."""
        known = [kind.hook for kind in KINDS.values()]
        any_hook = False
        for name in dir(plugin):
            candidate = getattr(plugin, name, None)
            marked = getattr(candidate, f"{GROUP}_impl", None)
            if not callable(candidate) or not (isinstance(marked, dict) or name.startswith(f"{GROUP}_")):
                continue
            hook = (marked or {}).get("specname") or name
            if hook not in known:
                near = difflib.get_close_matches(hook, known, n=1)
                hint = f", did you mean {near[0]!r}?" if near else f"; hooks are {', '.join(known)}"
                return f"there is no hook {hook!r}{hint}"
            if not marked:
                return f"{name} is not marked with @hookimpl"
            any_hook = True
        return None if any_hook else f"implements no hook; hooks are {', '.join(known)}"

    def _collect(self, kind: str, plugin: object, source: _Source) -> None:
        hook = KINDS[kind].hook
        offered: list[Any] = []
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin is not plugin:
                continue
            try:
                offered += list(implementation.function())
            except (Exception, SystemExit) as error:
                self.problems.append(source.problem(f"{hook} failed: {_line(error)}"))
        for cls in offered:
            self._offer(kind, cls, source)

    def _offer(self, kind: str, cls: Any, source: _Source) -> None:
        wrong = _contract(cls, kind)
        if wrong:
            name = getattr(cls, "name", None)
            self.problems.append(source.problem(wrong, kind, name if isinstance(name, str) else None))
            return
        for other in self._found:
            if (other.kind, other.name) == (kind, cls.name):
                self.problems.append(source.problem(f"{kind} {cls.name!r} is already offered by {other.origin}", kind, cls.name))
        self._found.append(Registered(kind, cls.name, cls, source.plugin, source.distribution, source.version))


def _contract(cls: Any, kind: str) -> str | None:
    """What is wrong with a class offered as an algorithm of ``kind``, or None."""
    base = KINDS[kind].base
    label = getattr(cls, "__name__", repr(cls))
    if not (isinstance(cls, type) and issubclass(cls, base)):
        return f"{KINDS[kind].hook} must return subclasses of {base.__name__}, got {label}"
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not NAME.match(name):
        return f"{label} needs a class variable name, lower case with dashes, got {name!r}"
    version = getattr(cls, "api_version", None)
    if version != API_VERSION:
        return f"{kind} {name!r} was written for plugin API version {version!r}, this cacapp speaks {API_VERSION}"
    required = [field for field, info in cls.model_fields.items() if info.is_required()]
    if required:
        return f"{kind} {name!r}: parameter {required[0]!r} has no default"
    bare = [field for field, info in cls.model_fields.items() if not info.description]
    if bare:
        return f"{kind} {name!r}: parameter {bare[0]!r} has no description"
    return None


def _points() -> list[importlib.metadata.EntryPoint]:
    return sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: (p.dist.name if p.dist else "", p.name))


def _named(point: importlib.metadata.EntryPoint, name: str) -> bool:
    return same_name(point.name, name) or (point.dist is not None and same_name(point.dist.name, name))


def same_name(one: str, other: str) -> bool:
    """Whether two names of distributions or plugins are the same to packaging tools."""
    return _normal(one) == _normal(other)


def _normal(name: str) -> str:
    """A name as packaging compares it (PEP 503): lower case, runs of ``-_.`` as one dash."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
