"""Find plugins through the entry-point group ``cacapp``: the algorithms they offer, and what is wrong with the others."""

from __future__ import annotations

import difflib
import importlib.metadata
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pluggy
from pydantic import ValidationError

from cacapp import hookspecs
from cacapp.api import Algorithm, Reader
from cacapp.exceptions import CacappError, UsageError
from cacapp.host.isolated import Isolated, PluginProcessConfig, child_of, description, stand_in
from cacapp.host.origin import stamp
from cacapp.host.parts import attach_parts
from cacapp.host.registered import KINDS, Problem, Registered, Source, normalized, same_name
from cacapp.host.requirements import GROUP, fault_of_class, fault_of_hooks
from cacapp.host.settings import PluginSettings
from cacapp.host.tampering import restore_patched, snapshot
from cacapp.isolation import Limits
from cacapp.processes.child import failure

LOG = logging.getLogger(__name__)


class Host:
    """The plugins of one process. It is not global: make one and pass it on.

    Args:
        exclude: plugin (entry-point) or distribution names to leave out.
        kinds: of the algorithms to collect.
    """

    def __init__(self, exclude: Iterable[str] = (), kinds: Iterable[str] = KINDS) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._exclude = frozenset(map(normalized, exclude))
        self._kinds = tuple(kinds)
        self._found: list[Registered] = []
        self._warned: set[tuple[Registered, str]] = set()
        self.problems: list[Problem] = []

    @classmethod
    def discover(
        cls, exclude: Iterable[str] = (), settings: Mapping[str, PluginSettings] | None = None, kinds: Iterable[str] = KINDS
    ) -> Host:
        """Return a host with every installed plugin; what is wrong with the broken ones is in ``problems``.

        Args:
            settings: of the configuration, by name: plugins that are not enabled are left out, isolated ones are not loaded here.
        """
        settings = settings or {}
        host = cls([*exclude, *(name for name, s in settings.items() if not s.enabled)], kinds)
        configs = [PluginProcessConfig(name, s.limits) for name, s in settings.items() if s.enabled and s.isolation == "process"]
        for point in _points():
            if not any(_named(point, config.name) for config in configs):
                host._load(point, apart=True)
        for config in configs:
            host._load_apart(config)
        return host

    @classmethod
    def of(cls, name: str, kinds: Iterable[str] = KINDS, *, apart: bool = False) -> Host:
        """Return a host with only the plugins of one name, a plugin's or a distribution's. ``apart``: readers in processes of their own."""
        host = cls(kinds=kinds)
        for point in _points():
            if _named(point, name):
                host._load(point, apart=apart)
        return host

    def register(self, plugin: object, name: str, distribution: str = "this process", version: str = "0") -> None:
        """Add a plugin (a module, class or object with hook implementations) and collect its algorithms."""
        if not self._excluded(name, distribution):
            self._register(plugin, Source(name, distribution, version), apart=False)

    def _register(self, plugin: object, source: Source, *, apart: bool) -> None:
        wrong = fault_of_hooks(plugin)
        if wrong:
            self.problems.append(source.problem(wrong))
            return
        try:
            # two distributions may give their entry points the same name
            self._manager.register(plugin, name=f"{normalized(source.distribution)}:{source.plugin}")
        except Exception as error:
            self.problems.append(source.problem(f"cannot be registered: {failure(error)}"))
            return
        for kind in self._kinds:
            self._collect(kind, plugin, source, apart)

    def algorithms(self, kind: str | None = None) -> list[Registered]:
        """Return the available algorithms, duplicates included, sorted by kind and name."""
        order = list(KINDS)
        return sorted((r for r in self._found if kind in (None, r.kind)), key=lambda r: (order.index(r.kind), r.name))

    def find(self, kind: str, name: str) -> Registered:
        """Return the algorithm of that kind and name. Raises UsageError for an unknown or ambiguous name, CacappError for a broken one."""
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
        """Return the algorithm with these parameters. Raises UsageError naming plugin and parameter if one is unknown or out of range."""
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
            raise CacappError(f"{kind} {name!r} ({found.origin}) cannot be built: {failure(error, found.cls.__module__)}") from error
        self._warn_of_deprecated(found, params or {})
        if made_of:
            within = (*_within, (kind, name))
            if any(part in within for part in made_of):
                raise UsageError(f"{kind} {name!r} ({found.origin}): it is made of itself")
            attach_parts(built, [self.build(*part, _within=within) for part in made_of])
        return built

    def _warn_of_deprecated(self, found: Registered, given: Mapping[str, Any]) -> None:
        """Warn, once, of each given parameter that its author marked ``Field(deprecated="what to do instead")``."""
        for name, value in given.items():
            info = found.cls.model_fields[name]
            if not info.deprecated or value == info.get_default(call_default_factory=True) or (found, name) in self._warned:
                continue
            self._warned.add((found, name))
            instead = info.deprecated if isinstance(info.deprecated, str) else getattr(info.deprecated, "message", "it will go")
            LOG.warning("%s %r (%s): parameter %s is deprecated: %s", found.kind, found.name, found.origin, name, instead)

    def _load(self, point: importlib.metadata.EntryPoint, *, apart: bool) -> None:
        distribution = point.dist.name if point.dist else "unknown distribution"
        version = point.dist.version if point.dist else "?"
        if self._excluded(point.name, distribution):
            return
        before = snapshot()
        source = Source(point.name, distribution, version)
        try:
            plugin = point.load()
            self._register(plugin, source, apart=apart)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self.problems.append(source.problem(f"cannot be loaded: {failure(error, point.module)}"))
        changed = restore_patched(before)
        if changed:
            self._found = [r for r in self._found if (r.plugin, r.distribution) != (point.name, distribution)]
            why = f"it replaces {changed[0]} for all code of this process, and cacapp restored it"
            self.problems.append(source.problem(f"is not used: {why}; if you trust it, run it in a process of its own (isolation)"))

    def _load_apart(self, config: PluginProcessConfig) -> None:
        """Add stand-ins for the algorithms that a plugin in a process of its own describes."""
        if self._excluded(config.name, config.name):
            return
        there = f" for {config.limits.python}" if config.limits.python else ""
        source = Source(config.name, "the configuration", "isolation")
        try:
            meta, _ = child_of(config).ask("describe")
            for p in meta["problems"]:
                self.problems.append(Problem(str(p["plugin"]), str(p["distribution"]), str(p["message"]), p["kind"], p["name"]))
            described = [(about, stand_in(config, about)) for about in meta["algorithms"]]
        except CacappError as error:
            self.problems.append(source.problem(f"cannot be loaded{there}: {error}"))
            return
        except Exception as error:
            self.problems.append(source.problem(f"cannot be loaded{there}: its process described no algorithms ({failure(error)})"))
            return
        if not described and not meta["problems"]:
            self.problems.append(source.problem(f"no plugin or distribution of this name is installed{there}"))
        for about, cls in described:
            source = Source(*(str(about[key]) for key in ("plugin", "distribution", "version")))
            if cls.kind in self._kinds and not self._excluded(source.plugin, source.distribution):
                self._offer(cls.kind, cls, source)

    def _excluded(self, name: str, distribution: str) -> bool:
        return not self._exclude.isdisjoint((normalized(name), normalized(distribution)))

    def _collect(self, kind: str, plugin: object, source: Source, apart: bool) -> None:
        hook = KINDS[kind].hook
        offered: list[Any] = []
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin is not plugin:
                continue
            try:
                offered += list(implementation.function())
            except (Exception, SystemExit) as error:
                self.problems.append(source.problem(f"{hook} failed: {failure(error, implementation.function.__module__)}"))
        for cls in offered:
            self._offer(kind, cls, source, apart)

    def _offer(self, kind: str, cls: Any, source: Source, apart: bool = False) -> None:
        """Add an algorithm. ``apart``: a reader gets a process of its own, which a file that makes it crash or hang cannot outlive."""
        wrong = fault_of_class(cls, kind)
        if wrong:
            name = getattr(cls, "name", None)
            self.problems.append(source.problem(wrong, kind, name if isinstance(name, str) else None))
            return
        for other in self._found:
            if (other.kind, other.name) == (kind, cls.name):
                self.problems.append(source.problem(f"{kind} {cls.name!r} is already offered by {other.origin}", kind, cls.name))
        found = Registered(kind, cls.name, cls, source.plugin, source.distribution, source.version)
        if apart and issubclass(cls, Reader) and cls.apart:
            found = replace(found, cls=stand_in(PluginProcessConfig(source.plugin, Limits()), description(found)))
        self._found.append(found)


def reader_of(found: Registered) -> Reader:
    """Return a registered reader, built."""
    built = found.cls()
    assert isinstance(built, Reader)
    stamp(built, found.origin)
    return built


def _points() -> list[importlib.metadata.EntryPoint]:
    return sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: (p.dist.name if p.dist else "", p.name))


def _named(point: importlib.metadata.EntryPoint, name: str) -> bool:
    return same_name(point.name, name) or (point.dist is not None and same_name(point.dist.name, name))
