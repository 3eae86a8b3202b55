"""The wheel holds all the product needs, and works where nothing of the checkout can be seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(CHECKOUT)]
    # Without a network the build backend of this environment has to do, where it is there.
    try:
        import hatchling  # noqa: F401
    except ModuleNotFoundError:
        pass
    else:
        command.insert(4, "--no-build-isolation")
    subprocess.run(command, check=True)
    (path,) = out.glob("cacapp-*.whl")
    return path


def test_the_wheel_holds_what_is_no_code(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "cacapp/py.typed",
        "cacapp/migrations/env.py",
        "cacapp/migrations/versions/0001_record.py",
        "cacapp/fish/assay/definitions/katz-4color.toml",
        "cacapp/report/templates/patient.html.j2",
        "cacapp/report/templates/report.css",
        "cacapp/simulation/samples.py",
        "cacapp/simulation/presets/field.toml",
    ):
        assert name in names
    foreign = [n for n in names if not n.startswith(("cacapp/", "cacapp-")) or "__pycache__" in n]
    assert foreign == []


def test_the_wheel_asks_for_a_scikit_image_that_numpy_2_can_load(wheel: Path) -> None:
    (name,) = [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".dist-info/METADATA")]
    wanted = [line for line in zipfile.ZipFile(wheel).read(name).decode().splitlines() if line.startswith("Requires-Dist:")]
    assert "Requires-Dist: scikit-image>=0.25" in wanted
    assert not [line for line in wanted if "base-imageio" in line]  # it pins imageio, and with it scikit-image, to what numpy 1 needs


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, whose dependencies come from this one."""
    made = tmp_path_factory.mktemp("installed") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    install = [sys.executable, "-m", "pip", "--python", str(made / "bin" / "python"), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True)
    (packages,) = made.glob("lib/python*/site-packages")
    # A folder named in a .pth is searched, its own .pth files (the editable cacapp) are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return made


EXAMPLE = CHECKOUT / "plugins" / "cacapp-example" / "src" / "cacapp_example"


def checked(environment: Path, plugin: Path) -> subprocess.CompletedProcess[str]:
    """``mypy --strict`` on a plugin's package, against what is installed in an environment."""
    options = ["--strict", "--config-file=", "--cache-dir", str(plugin.parent / "cache"), "--python-executable"]
    command = [sys.executable, "-m", "mypy", *options, str(environment / "bin" / "python"), str(plugin)]
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    return subprocess.run(command, cwd=plugin.parent, env=variables, capture_output=True, text=True, check=False)


def test_a_plugin_of_each_kind_is_type_checked_against_the_installed_wheel(environment: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "cacapp_example"
    shutil.copytree(EXAMPLE, plugin)
    assert {path.stem for path in plugin.glob("*.py")} >= {"prompter", "segmenter", "filter", "signal_detector", "plugin"}
    found = checked(environment, plugin)
    assert found.returncode == 0, found.stdout
    text = (plugin / "segmenter.py").read_text(encoding="utf-8")
    assert "-> list[Instance]:" in text
    (plugin / "segmenter.py").write_text(text.replace("-> list[Instance]:", "-> list[int]:"), encoding="utf-8")
    found = checked(environment, plugin)
    assert 'incompatible with return type "list[Instance]" in supertype "cacapp.api.Segmenter"' in found.stdout


def test_the_demo_of_the_wheel_runs_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CACAPP_DB")}

    def run(*command: str) -> str:
        ended = subprocess.run(command, cwd=elsewhere, env=variables, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    where = run(str(python), "-c", "import cacapp; print(cacapp.__file__)").strip()
    assert Path(where).is_relative_to(packages)
    printed = run(str(environment / "bin" / "cacapp"), "demo")
    for word in ("simulated anew", "P01-negative", "P05-novolume", "increased", "insufficient", "undetermined"):
        assert word in printed
    assert (elsewhere / "cacapp_demo" / "reports" / "index.html").is_file()
    assert (elsewhere / "cacapp_demo" / "slides" / "slides.csv").is_file()
