"""Plugins are collected from all distributions; what is broken is one line that names it, and stops only what asks for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from cacapp import hookspecs
from cacapp.api import Algorithm, Field, InstanceFilter, Prompter, Segmenter, SignalDetector
from cacapp.exceptions import CacappError, UsageError
from cacapp.hookspecs import hookimpl
from cacapp.host import KINDS, Host

HOOKS = {
    "prompters": "cacapp_prompters",
    "segmenters": "cacapp_segmenters",
    "filters": "cacapp_filters",
    "detectors": "cacapp_signal_detectors",
}


def plugin(**offers: Any) -> SimpleNamespace:
    """A plugin object: ``plugin(prompters=[A])``; a function is taken as the hook's body."""
    made = SimpleNamespace()
    for what, offered in offers.items():
        body = offered if callable(offered) else (lambda value=offered: value)
        setattr(made, HOOKS[what], hookimpl(_no_arguments(body)))
    return made


def _no_arguments(body: Callable[..., Any]) -> Callable[[], Any]:
    return lambda: body()


def algorithm(algorithm_name: str, base: type[Algorithm] = Prompter, **namespace: Any) -> type[Algorithm]:
    return type("Made", (base,), {"__module__": __name__, "name": algorithm_name, "api_version": 1} | namespace)


Seeds, Other = algorithm("seeds"), algorithm("other")


def registered(plugin_object: object, name: str = "mine", distribution: str = "acme-fish", version: str = "1.2") -> Host:
    host = Host()
    host.register(plugin_object, name, distribution, version)
    return host


def only_problem(host: Host) -> str:
    assert len(host.problems) == 1, [str(p) for p in host.problems]
    line = str(host.problems[0])
    assert "\n" not in line
    return line


def names(host: Host, kind: str | None = None) -> list[str]:
    return [r.name for r in host.algorithms(kind)]


def test_the_built_ins_come_through_the_entry_point_group() -> None:
    host = Host.discover()
    found = {(r.kind, r.name) for r in host.algorithms() if r.distribution == "cacapp"}
    assert found >= {
        ("prompter", "watershed"),
        ("prompter", "region-growing"),
        ("prompter", "split-merge"),
        ("segmenter", "coarse"),
        ("filter", "single-cell"),
        ("signal-detector", "log"),
    }
    assert not host.problems


def test_a_new_host_knows_nothing() -> None:
    assert Host().algorithms() == []


def test_algorithms_of_all_plugins_and_kinds_are_collected() -> None:
    host = Host()
    host.register(plugin(prompters=[Seeds], filters=[algorithm("strict", InstanceFilter)]), "one", "acme-one")
    host.register(plugin(prompters=[Other], segmenters=[algorithm("net", Segmenter)]), "two", "acme-two")
    host.register(plugin(detectors=[algorithm("dots", SignalDetector)]), "three", "acme-three")
    assert names(host) == ["other", "seeds", "net", "strict", "dots"]
    assert names(host, "prompter") == ["other", "seeds"]
    assert host.find("prompter", "seeds").origin == "plugin 'one' of acme-one 0"
    assert host.find("prompter", "seeds").cls is Seeds
    assert not host.problems


def test_one_name_may_be_used_in_two_kinds() -> None:
    host = registered(plugin(prompters=[algorithm("star")], segmenters=[algorithm("star", Segmenter)]))
    assert host.find("prompter", "star").kind == "prompter"
    assert host.find("segmenter", "star").kind == "segmenter"


def test_duplicate_names_are_refused_naming_both_distributions() -> None:
    host = Host()
    host.register(plugin(prompters=[Seeds]), "one", "acme-one", "1")
    host.register(plugin(prompters=[algorithm("seeds"), Other]), "two", "acme-two", "2")
    with pytest.raises(UsageError) as caught:
        host.find("prompter", "seeds")
    assert "plugin 'one' of acme-one 1" in str(caught.value)
    assert "plugin 'two' of acme-two 2" in str(caught.value)
    assert "--no-plugin" in str(caught.value)
    assert host.find("prompter", "other").plugin == "two"
    assert "already offered by plugin 'one' of acme-one 1" in only_problem(host)


def test_two_distributions_may_name_their_entry_points_alike() -> None:
    host = Host()
    host.register(plugin(prompters=[Seeds]), "main", "acme-one")
    host.register(plugin(prompters=[Other]), "main", "acme-two")
    assert names(host) == ["other", "seeds"]
    assert not host.problems


def test_the_same_plugin_twice_is_reported_and_counted_once() -> None:
    host = Host()
    mine = plugin(prompters=[Seeds])
    host.register(mine, "mine", "acme")
    host.register(mine, "mine", "acme")
    assert names(host) == ["seeds"]
    assert only_problem(host).startswith("plugin 'mine' of acme 0: cannot be registered")


@pytest.mark.parametrize("wrong", ["cacapp_promters", "cacap_prompters", "prompters"])
def test_a_misspelled_hook_is_reported_with_the_right_one(wrong: str) -> None:
    mine = plugin(filters=[algorithm("strict", InstanceFilter)])
    setattr(mine, wrong, hookimpl(lambda: [Seeds]))
    host = registered(mine)
    line = only_problem(host)
    assert line.startswith("plugin 'mine' of acme-fish 1.2: ")
    assert repr(wrong) in line
    assert "cacapp_prompters" in line
    assert host.algorithms() == []


def test_a_hook_without_its_mark_is_reported() -> None:
    mine = plugin(filters=[])
    mine.cacapp_prompters = lambda: [Seeds]
    assert only_problem(registered(mine)) == "plugin 'mine' of acme-fish 1.2: cacapp_prompters is not marked with @hookimpl"


def test_a_plugin_without_any_hook_is_reported() -> None:
    assert "implements no hook" in only_problem(registered(object()))


def test_a_function_of_another_name_can_implement_a_hook() -> None:
    mine = plugin()
    mine.anything = hookimpl(specname="cacapp_prompters")(lambda: [Seeds])
    host = registered(mine)
    assert names(host) == ["seeds"]
    assert not host.problems


@pytest.mark.parametrize("error", [RuntimeError("no\nlicence"), ImportError("no licence"), SystemExit("no licence")])
def test_a_hook_that_raises_costs_its_own_kind_only(error: BaseException) -> None:
    def raising() -> list[type[Prompter]]:
        raise error

    host = registered(plugin(prompters=raising, filters=[algorithm("strict", InstanceFilter)]))
    place = f"at tests/host/test_discover.py:{raising.__code__.co_firstlineno + 1} in raising"
    assert only_problem(host) == f"plugin 'mine' of acme-fish 1.2: cacapp_prompters failed: {type(error).__name__}: no licence, {place}"
    assert names(host) == ["strict"]


def test_a_hook_that_returns_nothing_is_reported() -> None:
    assert "cacapp_prompters failed: TypeError" in only_problem(registered(plugin(prompters=lambda: None)))


class Bare(Prompter):
    name: ClassVar[str] = "bare"
    api_version: ClassVar[int] = 1
    size: float = 1.0


class Needy(Prompter):
    name: ClassVar[str] = "needy"
    api_version: ClassVar[int] = 1
    size: float = Field(description="size, px")


class Nameless(Prompter):
    api_version: ClassVar[int] = 1


class Timeless(Prompter):
    name: ClassVar[str] = "timeless"


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (Seeds(), "must return subclasses of Prompter, got"),
        ("seeds", "must return subclasses of Prompter, got 'seeds'"),
        (algorithm("strict", InstanceFilter), "must return subclasses of Prompter, got Made"),
        (dict, "must return subclasses of Prompter, got dict"),
        (Nameless, "Nameless needs a class variable name, lower case with dashes, got None"),
        (algorithm("Seeds"), "lower case with dashes, got 'Seeds'"),
        (algorithm("my seeds"), "lower case with dashes, got 'my seeds'"),
        (algorithm(""), "lower case with dashes, got ''"),
        (algorithm("future", api_version=2), "'future' was written for plugin API version 2, this cacapp speaks 1"),
        (Timeless, "'timeless' was written for plugin API version None, this cacapp speaks 1"),
        (Bare, "'bare': parameter 'size' has no description"),
        (Needy, "'needy': parameter 'size' has no default"),
    ],
)
def test_a_class_that_breaks_the_contract_is_reported_and_the_others_stay(offered: object, words: str) -> None:
    host = registered(plugin(prompters=[offered, Other]))
    line = only_problem(host)
    assert line.startswith("plugin 'mine' of acme-fish 1.2: ")
    assert words in line
    assert names(host) == ["other"]


def test_asking_for_a_refused_algorithm_says_why() -> None:
    host = registered(plugin(prompters=[algorithm("future", api_version=2)]))
    with pytest.raises(CacappError, match=r"prompter 'future' cannot be used: plugin 'mine' of acme-fish 1\.2: .* API version 2"):
        host.find("prompter", "future")


def test_an_unknown_name_is_answered_with_the_nearest_and_what_did_not_load() -> None:
    host = registered(plugin(prompters=[Seeds, Other]))
    host.register(object(), "broken", "acme-broken", "3")
    with pytest.raises(UsageError) as caught:
        host.find("prompter", "seed")
    assert str(caught.value).startswith(
        "no prompter named 'seed': did you mean 'seeds'? there are other, seeds; not loaded: plugin 'broken'"
    )


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_package_at_all", "ModuleNotFoundError"),
        ("raise ImportError('libfoo.so.7\\nis missing')", "ImportError: libfoo.so.7 is missing"),
        ("def broken(:\n", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_distribution_that_cannot_be_imported_is_one_line_and_the_others_work(install: Any, source: str, error: str) -> None:
    install("acme-broken", "broken", source=source)
    install("acme-fine", "fine", name="fine-seeds")
    host = Host.discover()
    line = only_problem(host)
    assert line.startswith(f"plugin 'broken' of acme-broken 1.2: cannot be loaded: {error}")
    assert ("SyntaxError" in error and re.search(r"acme_broken\w*\.py, line 1\)$", line)) or re.search(r", at acme_broken\w*\.py:1$", line)
    assert host.find("prompter", "fine-seeds").origin == "plugin 'fine' of acme-fine 1.2"
    assert host.find("prompter", "watershed").distribution == "cacapp"


def test_an_entry_point_to_a_missing_attribute_is_reported(install: Any, tmp_path: Any) -> None:
    install("acme-broken", "broken", source="")
    points = next(tmp_path.glob("acme-broken/*.dist-info/entry_points.txt"))
    points.write_text(points.read_text().strip() + ":missing\n")
    assert "cannot be loaded: AttributeError" in only_problem(Host.discover())


def test_a_distribution_may_name_its_plugin_like_the_built_in_one(install: Any) -> None:
    install("aardvark", "builtin", name="ants")  # sorted before cacapp
    host = Host.discover()
    assert not host.problems
    assert host.find("prompter", "ants").distribution == "aardvark"
    assert host.find("prompter", "watershed").distribution == "cacapp"


@pytest.mark.parametrize("exclude", ["seeds-plugin", "acme-fish", "ACME_Fish"])
def test_a_plugin_is_kept_out_by_its_own_or_its_distributions_name(install: Any, exclude: str) -> None:
    install("acme-fish", "seeds-plugin", source="raise RuntimeError('never imported')")
    host = Host.discover([exclude])
    assert not host.problems
    assert host.find("prompter", "watershed")


def test_keeping_one_out_settles_a_duplicate(install: Any) -> None:
    install("acme-one", "one", name="same")
    install("acme-two", "two", name="same")
    with pytest.raises(UsageError, match=r"acme-one 1\.2 and .*acme-two 1\.2"):
        Host.discover().find("prompter", "same")
    assert Host.discover(["acme-two"]).find("prompter", "same").distribution == "acme-one"


def test_every_kind_has_its_hook_and_every_hook_its_kind() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("cacapp_")}
    assert {kind.hook for kind in KINDS.values()} == hooks
