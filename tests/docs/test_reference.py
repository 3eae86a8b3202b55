"""Nothing a user or a plugin's author meets is undocumented, and the reference pages say all of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """docs/reference_pages.py, as Sphinx loads it."""
    spec = importlib.util.spec_from_file_location("reference_pages", DOCS / "reference_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_hook_command_option_and_parameter_is_described(pages: ModuleType) -> None:
    assert pages.undocumented() == []


def test_an_undocumented_parameter_is_found(pages: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from cacapp import hookspecs
    from cacapp.algorithms.watershed import Watershed
    from cacapp.cli import export

    monkeypatch.setattr(typer.main, "get_command", typer.main.get_command.__wrapped__)  # not the one made before
    monkeypatch.setattr(hookspecs.cacapp_filters, "__doc__", None)
    monkeypatch.setattr(export.export, "__doc__", None)
    field = next(iter(Watershed.model_fields.values()))
    monkeypatch.setattr(field, "description", " ")
    name = next(iter(Watershed.model_fields))
    assert pages.undocumented() == ["hook cacapp_filters", "command cacapp export", f"prompter watershed: {name}"]


def test_the_page_of_commands_has_all_of_them_with_their_options(pages: ModuleType) -> None:
    page = pages.commands_page()
    found = dict(pages.commands())
    assert {"cacapp run", "cacapp runs list", "cacapp db backup", "cacapp plugins show"} <= set(found)
    for path, command in found.items():
        if path == "cacapp":
            continue
        section = page.split(f" {path}\n", 1)[1].split("\n## ")[0]
        assert [o for p in command.params for o in p.opts if o.startswith("--") and o != "--help" and f"`{o}`" not in section] == []


def test_the_page_of_algorithms_has_all_built_in_ones_with_their_parameters(pages: ModuleType) -> None:
    page = pages.algorithms_page()
    names = {found.name for found in pages.algorithms()}
    assert {"watershed", "sam", "dense", "single-cell", "log"} <= names
    for found in pages.algorithms():
        section = page.split(f"### {found.name}\n", 1)[1].split("\n### ")[0]
        assert [name for name in found.cls.model_fields if f"| `{name}` |" not in section] == []


def test_the_page_of_the_plugin_api_states_fields_and_claims_as_the_code_has_them(pages: ModuleType) -> None:
    from cacapp.testing import prompter, segmenter, signal_detector

    text = (DOCS / "plugin-api.md").read_text(encoding="utf-8")
    assert text == pages.with_values(text), "run: python docs/reference_pages.py"
    for stated in ("(height, width) bool", "`Signals(yx, snr, amplitude, sigma_px)`", "in any order", "(N, 2) float32"):
        assert stated in text
    # numbers in the claims' sentences are those that are tested
    assert f"IoU with the nucleus is at least {segmenter.FOUND_IOU}" in text
    assert f"together cover at least {segmenter.COVERED:.0%}".replace("%", " %") in text
    assert f"over at least {prompter.COVERED:.0%}".replace("%", " %") in text
    assert f"within {signal_detector.NEAR_PX:g} px" in text


def test_the_page_of_hooks_has_all_of_them(pages: ModuleType) -> None:
    text = (DOCS / "reference" / "hooks.md").read_text()
    assert [name for name in pages.hooks() if name not in text] == []


def test_the_page_of_values_has_all_that_cacapp_exports() -> None:
    import cacapp

    text = "".join((DOCS / "reference" / name).read_text() for name in ("hooks.md", "api.md"))
    assert [n for n in cacapp.__all__ if n not in ("Array", "Field", "__version__", "hookimpl") and n not in text] == []
