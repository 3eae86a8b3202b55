"""Step ``plugins new``: write an installable package with a small working algorithm of each requested kind."""

from __future__ import annotations

import keyword
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cacapp.exceptions import CacappError, UsageError
from cacapp.host import KINDS, Host

TEMPLATES = Path(__file__).parent / "template"

ABOUT: Mapping[str, str] = {
    "prompter": "one prompt for each bright blob",
    "segmenter": "each bright blob is one nucleus",
    "filter": "rejects elongated and irregular nuclei",
    "signal-detector": "bright dots inside nuclei",
    "reader": "planes that numpy saved (.npz)",
}


@dataclass(frozen=True, slots=True)
class Described:
    """An algorithm of the package to write, as its templates name it."""

    kind: str
    name: str
    cls: str
    file: str
    hook: str
    base: str
    about: str


def new_plugin(host: Host, name: str, kinds: Sequence[str], into: Path) -> list[Path]:
    """Write the package ``into / name``; return its files.

    The algorithm has the package's name without a leading "cacapp-", followed by its kind where there are several.

    Raises:
        UsageError: the name is no valid package name, a kind is unknown or repeated, or an algorithm of that name is installed.
        CacappError: the folder exists or cannot be written.
    """
    algorithms = _described(host, name, kinds)
    home = into / name
    if home.exists() or home.is_symlink():
        raise CacappError(f"{home} exists; give another name, or another folder with --into")
    module = name.replace("-", "_")
    about = f"A plugin of cacapp: {'; '.join(one.about for one in algorithms)}"
    shared = {
        "distribution": name,
        "module": module,
        "plugin": _short(name),
        "about": about,
        "algorithms": algorithms,
    }
    shared["bases"] = sorted(one.base for one in algorithms)
    files = {
        "pyproject.toml": _filled("pyproject.toml", shared),
        "README.md": _filled("README.md", shared),
        "LICENSE": _filled("LICENSE", shared),
        f"src/{module}/__init__.py": f'"""{name}: {", ".join(one.kind for one in algorithms)} for cacapp."""\n',
        f"src/{module}/py.typed": "",
        f"src/{module}/plugin.py": _filled("plugin.py", shared),
    }
    for one in algorithms:
        values = shared | {"cls": one.cls, "name": one.name}
        files[f"src/{module}/{one.file}.py"] = _filled(f"{one.file}.py", values)
        files[f"tests/test_{one.file}.py"] = _filled(f"test_{one.file}.py", values)
    _write(home, files)
    return [home / path for path in files]


def _described(host: Host, name: str, kinds: Sequence[str]) -> list[Described]:
    from cacapp.host.requirements import NAME

    module = name.replace("-", "_")
    if not NAME.match(name):
        raise UsageError(f"{name!r} is no name for a plugin: lower case letters and digits with single dashes between, as acme-nuclei")
    if module in sys.stdlib_module_names or keyword.iskeyword(module) or name == "cacapp":
        raise UsageError(f"{name!r} is taken by Python or cacapp: {module} could not be imported; try cacapp-{name}")
    if not kinds:
        raise UsageError(f"--kind: choose one or several of {', '.join(KINDS)}")
    wrong = next((kind for kind in kinds if kind not in KINDS), None)
    if wrong is not None:
        raise UsageError(f"--kind {wrong}: choose one of {', '.join(KINDS)}")
    if len(set(kinds)) < len(kinds):
        raise UsageError("--kind: give each kind once")
    algorithms = []
    for kind in (k for k in KINDS if k in kinds):
        called = _short(name) if len(kinds) == 1 else f"{_short(name)}-{kind}"
        taken = next((r for r in host.algorithms(kind) if r.name == called), None)
        if taken is not None:
            raise UsageError(f"there is a {kind} {called!r} already, of {taken.origin}; give the plugin another name")
        cls = "".join(part.capitalize() for part in called.split("-"))
        file = kind.replace("-", "_")
        algorithms.append(Described(kind, called, cls, file, KINDS[kind].hook, KINDS[kind].base.__name__, ABOUT[kind]))
    return algorithms


def _short(name: str) -> str:
    return name.removeprefix("cacapp-")


def _filled(template: str, values: Mapping[str, object]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True)  # noqa: S701 no HTML
    return environment.get_template(f"{template}.j2").render(values)


def _write(home: Path, files: Mapping[str, str]) -> None:
    """Write all files, or none."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    except OSError as error:
        raise CacappError(f"{home}: cannot be written ({error.strerror})") from error
    try:
        for path, text in files.items():
            target = made / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        made.chmod(0o755)
        made.rename(home)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        raise CacappError(f"{home}: cannot be written ({error.strerror})") from error
