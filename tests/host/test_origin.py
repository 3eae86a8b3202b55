"""A built algorithm knows the plugin and distribution it comes from, and nothing else changes by it."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version

import numpy as np
import pytest

from cacapp import host as guard
from cacapp.algorithms.watershed import Watershed
from cacapp.api import Prompter
from cacapp.exceptions import CacappError
from cacapp.hookspecs import hookimpl
from cacapp.host import Host
from cacapp.host.origin import origin_of
from cacapp.types import Prompts


class Raising(Prompter):
    """Always fails."""

    name = "raising"
    api_version = 1

    def prompt(self, dapi, pixel_size_um) -> Prompts:
        raise RuntimeError("no luck")


FAILED = f"failed: RuntimeError: no luck, at tests/host/test_origin.py:{Raising.prompt.__code__.co_firstlineno + 1} in prompt"


def complaint(algorithm: Prompter) -> str:
    with pytest.raises(CacappError) as caught:
        guard.prompt(algorithm, np.zeros((8, 8), np.uint8), None)
    return str(caught.value)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Prompter:
    host = Host()
    plugin = type("Plugin", (), {})()
    plugin.cacapp_prompters = hookimpl(lambda: [Raising])  # type: ignore[attr-defined]
    host.register(plugin, "luckless", "acme-fish", "1.2")
    return host.build("prompter", "raising")  # type: ignore[return-value]


def test_an_error_names_algorithm_plugin_distribution_and_version(built: Prompter) -> None:
    assert complaint(built) == f"'raising' (plugin 'luckless' of acme-fish 1.2): {FAILED}"


def test_one_built_by_hand_is_named_by_its_module() -> None:
    assert complaint(Raising()) == f"'raising' (module {__name__}): {FAILED}"


def test_the_origin_survives_copies_and_pickles(built: Prompter) -> None:
    for copy in (pickle.loads(pickle.dumps(built)), built.model_copy(), built.model_copy(deep=True)):
        assert "plugin 'luckless' of acme-fish 1.2" in complaint(copy)


def test_a_built_in_sent_to_a_spawned_process_still_says_where_it_comes_from() -> None:
    built = Host.discover().build("prompter", "watershed")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(origin_of, built).result() == f"plugin 'builtin' of cacapp {version('cacapp')}"


def test_parameters_comparison_and_hash_do_not_see_the_origin() -> None:
    built, plain = Host.discover().build("prompter", "watershed"), Watershed()
    assert built == plain
    assert hash(built) == hash(plain)
    assert built.model_dump() == plain.model_dump()
    assert built.model_dump_json() == plain.model_dump_json()
    assert repr(built) == repr(plain)
    assert dict(built) == dict(plain)
