"""An environment of its own with site-packages and pip, in which plugins are installed as a user installs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

import cacapp as package

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Lab:
    """An environment, and a folder to work in."""

    home: Path
    folder: Path

    def run(self, command: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs a line of the shell in the folder; fails where it ends otherwise than expected."""
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CACAPP_DB", "COLUMNS")}
        environment |= {
            "PATH": f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "CACAPP_CONFIG": str(self.home / "config.toml"),
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # as pip reads it: no isolation; what builds is installed already
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INDEX": "1",
        }
        shell = ["bash", "-euo", "pipefail", "-c", command]
        ended = subprocess.run(shell, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert ended.returncode == expect, f"$ {command}\n{ended.stdout}\n{ended.stderr}"
        return ended


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """An environment of this module's tests alone."""
    home = tmp_path_factory.mktemp("lab")
    venv.create(home, symlinks=True, with_pip=True)
    site = next((home / "lib").glob("python*")) / "site-packages"
    for old in [*site.glob("setuptools*"), *site.glob("_distutils_hack"), *site.glob("distutils-precedence.pth")]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()  # Python's own is too old; the one installed here is taken
    # the code under test goes before what is installed
    mine = Path(package.__file__).parents[1]
    over = [f"import sys; sys.path.insert(0, {str(mine)!r})", *(p for p in sys.path if p.endswith("site-packages"))]
    (site / "ours.pth").write_text("\n".join(over) + "\n")
    python = home / "bin" / "python"
    for name, code in (("cacapp", "from cacapp.cli.app import main; main()"), ("pytest", "import sys, pytest; sys.exit(pytest.main())")):
        (home / "bin" / name).write_text(f"#!{python}\n{code}\n")
        (home / "bin" / name).chmod(0o755)
    (home / "config.toml").write_text("")
    folder = home / "work"
    folder.mkdir()
    return Lab(home, folder)
