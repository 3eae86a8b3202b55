"""The wheel holds all the product needs, and works where nothing of the checkout can be seen."""

from __future__ import annotations

import os
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
        "cacapp/migrations/env.py",
        "cacapp/migrations/versions/0001_record.py",
        "cacapp/fish/assay/definitions/katz-4color.toml",
        "cacapp/report/templates/patient.html.j2",
        "cacapp/report/templates/report.css",
        "cacapp/simulation/samples.py",
    ):
        assert name in names
    foreign = [n for n in names if not n.startswith(("cacapp/", "cacapp-")) or "__pycache__" in n]
    assert foreign == []


def test_the_demo_of_the_wheel_runs_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    # What it depends on comes from here. A folder named in a .pth is searched, its own .pth files (the editable cacapp) are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
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
