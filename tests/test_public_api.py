"""What a plugin author imports: all there, light, and enough for a plugin."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cacapp

HEAVY = (
    "torch",
    "torchvision",
    "segment_anything",
    "sqlmodel",
    "sqlalchemy",
    "alembic",
    "aicsimageio",
    "cv2",
    "scipy",
    "matplotlib",
    "typer",
    "rich",
    "dask",
)


def modules_after(code: str) -> set[str]:
    told = subprocess.run([sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True, check=True)
    return set(told.stdout.split())


def test_import_cacapp_is_light() -> None:
    loaded = modules_after("import cacapp")
    assert "cacapp" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_every_module_that_plugin_authors_import_loads_fast() -> None:
    loaded = modules_after(f"from cacapp import {', '.join(cacapp.__all__)}")
    assert {"cacapp.api", "cacapp.types", "cacapp.hookspecs"} <= loaded
    assert loaded.isdisjoint(HEAVY)


def test_open_is_there_without_the_database_until_it_is_called() -> None:
    loaded = modules_after("import cacapp\nassert cacapp.open.__doc__")
    assert loaded.isdisjoint({*HEAVY, "pyarrow"})


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Promter"):
        cacapp.Promter  # noqa: B018


@pytest.mark.slow
def test_a_host_with_all_plugins_lists_them_without_torch_database_or_image_readers() -> None:
    loaded = modules_after("from cacapp.host import Host\nassert Host.discover().algorithms()")
    assert loaded.isdisjoint({"torch", "segment_anything", "sqlmodel", "sqlalchemy", "aicsimageio", "matplotlib", "typer"})


def test_importing_cacapp_touches_no_logging_handler_and_discovers_nothing() -> None:
    code = "import logging\nbefore = list(logging.root.handlers)\nimport cacapp\nassert logging.root.handlers == before"
    assert "cacapp.algorithms.plugin" not in modules_after(code)


def test_everything_promised_is_there_and_documented() -> None:
    for name in cacapp.__all__:
        thing = getattr(cacapp, name)
        assert name in ("Array", "__version__") or thing.__doc__, name


def test_the_version_is_the_distributions() -> None:
    from importlib.metadata import version

    assert cacapp.__version__ == version("cacapp")


def test_a_complete_plugin_imports_nothing_but_cacapp() -> None:
    code = """
from typing import ClassVar
import numpy as np
from cacapp import Array, Field, Instance, Prompter, Prompts, Segmenter, hookimpl
class Middle(Prompter):
    "One box in the middle."
    name: ClassVar[str] = "middle"
    api_version: ClassVar[int] = 1
    side_px: int = Field(4, ge=1, description="side, px")
    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        y, x = (n // 2 - self.side_px // 2 for n in dapi.shape)
        region = Instance((x, y, self.side_px, self.side_px), np.ones((self.side_px, self.side_px), bool))
        return Prompts(np.float32([[[x, y]]]), np.int8([[1]]), None, (region,))
class Plugin:
    @staticmethod
    @hookimpl
    def cacapp_prompters():
        return [Middle]
from cacapp import host as guard
host = guard.Host()
host.register(Plugin, "middle")
assert not host.problems, host.problems
assert len(guard.prompt(host.build("prompter", "middle", {"side_px": 6}), np.zeros((20, 20), np.uint8), None)) == 1
"""
    modules_after(code)
