"""napari finds the plugin by its manifest."""

from __future__ import annotations

from importlib.resources import files

from npe2 import DynamicPlugin, PluginManager, PluginManifest
from npe2.cli import app


def manifest() -> PluginManifest:
    return PluginManifest.from_file(str(files("napari_cacapp") / "napari.yaml"))


def test_npe2_finds_the_manifest_valid_and_every_command_importable() -> None:
    from typer.testing import CliRunner

    found = manifest()
    found.validate_imports()
    told = CliRunner().invoke(app, ["validate", str(files("napari_cacapp") / "napari.yaml"), "--imports"])
    assert told.exit_code == 0, told.output


def test_a_record_and_a_bookmark_are_offered_to_the_reader() -> None:
    manager = PluginManager()
    with DynamicPlugin("napari-cacapp", plugin_manager=manager, manifest=manifest()):
        for path in ("cacapp.db", "S1.cacapp.toml"):
            assert [r.command for r in manager.iter_compatible_readers([path])] == ["napari-cacapp.read"]
        assert list(manager.iter_compatible_readers(["image.tif"])) == []
        [writer] = manager.iter_compatible_writers(["image", "image", "labels", "points", "points"])
        assert writer.command == "napari-cacapp.write"
