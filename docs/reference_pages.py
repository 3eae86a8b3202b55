"""Generated pages of the site: every command with its options, every built-in algorithm with its parameters, every plugin's README.

A Sphinx extension; the pages go to docs/reference/ and docs/plugins/ and are not in the repository. ``undocumented`` lists missing
descriptions for a test. ``python docs/reference_pages.py`` rewrites the generated section of docs/plugin-api.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc, isfunction
from pathlib import Path
from typing import Any

KINDS = {
    "prompter": "Prompters",
    "segmenter": "Segmenters",
    "filter": "Instance filters",
    "signal-detector": "Signal detectors",
    "reader": "Readers",
}


def setup(app: Any) -> dict[str, bool]:
    """Connect the pages to the start of a Sphinx build."""
    app.connect("builder-inited", lambda app: write_all(Path(app.srcdir)))
    return {"parallel_read_safe": True}


def write_all(docs: Path) -> None:
    """Write the pages into docs/."""
    write(docs / "reference", {"commands.md": commands_page(), "algorithms.md": algorithms_page()})
    pages = plugin_pages(docs.parent / "plugins")
    for gone in set((docs / "plugins").glob("*.md")) - {docs / "plugins" / name for name in pages}:
        gone.unlink()
    write(docs / "plugins", pages)


def write(folder: Path, pages: Mapping[str, str]) -> None:
    """Write changed pages only, so that Sphinx reads no others."""
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def plugin_pages(folder: Path) -> dict[str, str]:
    """Return the READMEs of plugins/ with the links of the site; that of the folder is the index."""
    names = sorted(p.parent.name for p in folder.glob("*/README.md"))
    listed = "\n".join(names)
    pages = {f"{name}.md": (folder / name / "README.md").read_text("utf-8") for name in names}
    pages["index.md"] = (folder / "README.md").read_text("utf-8") + f"\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    return {name: _links(text) for name, text in pages.items()}


def _links(text: str) -> str:
    """Change the links of a README in plugins/ to those in docs/plugins/."""
    text = re.sub(r"\]\((?:\.\./)+docs/", "](../", text)
    text = text.replace("](../../README.md", "](../index.md")
    return re.sub(r"\]\(([\w-]+)/README\.md", r"](\1.md", text)


def commands() -> Iterator[tuple[str, Any]]:
    """Yield names and commands, such as ("cacapp runs list", command), groups before their commands."""
    from typer.main import get_command

    from cacapp.cli.app import app

    def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, inner in getattr(command, "commands", {}).items():
            if not inner.hidden:
                yield from walk(inner, f"{path} {name}")

    yield from walk(get_command(app), "cacapp")


def algorithms() -> list[Any]:
    """Return the built-in algorithms as the host registered them; those of plugins are in their READMEs."""
    from cacapp.host import Host

    return [found for found in Host.discover().algorithms() if found.distribution == "cacapp"]


def hooks() -> dict[str, Any]:
    """Return the hooks of plugins, by name."""
    from cacapp import hookspecs

    return {name: hook for name, hook in vars(hookspecs).items() if name.startswith("cacapp_") and isfunction(hook)}


def undocumented() -> list[str]:
    """Return the names of hooks, commands, options, arguments, algorithms and parameters without a description."""
    from cacapp.host import parameters

    missing = [f"hook {name}" for name, hook in hooks().items() if not hook.__doc__]
    for path, command in commands():
        if not (command.help or "").strip():
            missing.append(f"command {path}")
        missing += [f"command {path}: {_names(p)}" for p in command.params if p.name != "help" and not (p.help or "").strip()]
    for found in algorithms():
        if not found.cls.__doc__:
            missing.append(f"{found.kind} {found.name}")
        missing += [f"{found.kind} {found.name}: {p.name}" for p in parameters(found.cls) if not p.description.strip()]
    return missing


def commands_page() -> str:
    """Return Markdown with one section per command."""
    lines = [
        "# Commands",
        "Made from the program itself; `cacapp COMMAND --help` says the same. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some "
        "frames or files failed.",
    ]
    for path, command in commands():
        if path == "cacapp":
            continue
        depth = path.count(" ") + 1
        lines += [f"{'#' * depth} {path}", _prose(command.help)]
        if getattr(command, "commands", None):
            continue
        shown = [p for p in command.params if p.name != "help" and not p.hidden]
        arguments = [p for p in shown if p.param_type_name == "argument"]
        usage = " ".join([path, *(_argument(p) for p in arguments), "[OPTIONS]"])
        lines.append(f"```text\n{usage}\n```")
        if shown:
            rows = ["| option | what it does | default |", "|---|---|---|"]
            rows += [f"| {_name_cell(p)} | {_cell(p.help or '')}{_bounds(p)} | {_default(p)} |" for p in shown]
            lines.append("\n".join(rows))
    return "\n\n".join(lines) + "\n"


def algorithms_page() -> str:
    """Return Markdown with one section per algorithm, with a table of its parameters."""
    from cacapp.host import parameters

    lines = [
        "# Built-in algorithms",
        "Made from the algorithms themselves; `cacapp plugins show NAME` says the same, also of those that plugins bring. A parameter is "
        "set with `--set NAME=VALUE`, or `--set ALGORITHM.NAME=VALUE` where two of the chosen algorithms have it.",
    ]
    found = algorithms()
    for kind, title in KINDS.items():
        lines.append(f"## {title}")
        for one in (f for f in found if f.kind == kind):
            lines += [f"### {one.name}", _prose(one.cls.__doc__)]
            rows = ["| parameter | what it is | type | default |", "|---|---|---|---|"]
            told = parameters(one.cls)
            rows += [
                f"| `{p.name}` | {_cell(p.description)} | {_cell(p.type)}{f', {p.bounds}' if p.bounds else ''} | {_value(p.default)} |"
                for p in told
            ]
            lines.append("\n".join(rows) if told else "It has no parameters.")
    return "\n\n".join(lines) + "\n"


VALUES_BEGIN, VALUES_END = "<!-- made by docs/reference_pages.py -->", "<!-- end -->"


def values_section() -> str:
    """Return Markdown with the fields of a plugin's inputs and outputs, and the contract suite's claims for each kind."""
    from cacapp import Instance, Prompts, Scene, Shapes, Signals, TrainingSample
    from cacapp.testing import CONTRACTS, claims_of

    lines = []
    for value in (Instance, Prompts, Shapes, Signals, Scene, TrainingSample):
        head, _, attributes = cleandoc(value.__doc__ or "").partition("\n\nAttributes:\n")
        rows = [
            f"| {_fields(names)} | {_cell(text)} |" for names, text in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8,}.*)*)", attributes, re.M)
        ]
        lines += [
            f"**`{value.__name__}({', '.join(value.__dataclass_fields__)})`**: {head}",
            "\n".join(["| field | content |", "|---|---|", *rows]),
        ]
    for kind, contract in CONTRACTS.items():
        own = [text for name, text in claims_of(kind).items() if name in vars(contract)]
        lines.append(f"What the contract suite claims of every {kind.replace('-', ' ')}, besides what it claims of all kinds:")
        lines.append("\n".join(f"- {_cell(text)}" for text in own))
    return "\n\n".join(lines)


def _fields(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def with_values(page: str) -> str:
    """Return a page with its generated section replaced."""
    before, _, rest = page.partition(VALUES_BEGIN)
    return f"{before}{VALUES_BEGIN}\n\n{values_section()}\n\n{VALUES_END}{rest.partition(VALUES_END)[2]}"


def _prose(text: str | None) -> str:
    """Convert a docstring to Markdown: ``code``, ``Args:`` and similar sections as a list, console markup removed."""
    text = re.sub(r"``([^`]+)``", r"`\1`", cleandoc(text or ""))
    text = re.sub(r"\[/?(?:bold|dim|italic)\]", "", text)
    text = re.sub(r"^(Args|Attributes|Raises|Returns):$", r"**\1**\n", text, flags=re.MULTILINE)
    return re.sub(r"^ {4}(\w[\w, ]*): ", r"- `\1`: ", text, flags=re.MULTILINE)


def _cell(text: str) -> str:
    return re.sub(r"``([^`]+)``", r"`\1`", " ".join(text.split())).replace("|", "\\|").replace("<", "&lt;")


def _names(parameter: Any) -> str:
    return parameter.metavar or parameter.name.upper() if parameter.param_type_name == "argument" else ", ".join(parameter.opts)


def _name_cell(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_escaped(_names(parameter))}`"
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} `{_escaped(parameter.metavar or _kind(parameter))}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _kind(parameter: Any) -> str:
    kind = getattr(parameter.type_descriptor.annotation, "__name__", "value")
    return {"str": "TEXT", "int": "N", "float": "X", "Path": "PATH"}.get(kind, "VALUE")


def _argument(parameter: Any) -> str:
    name = _names(parameter)
    many = "..." if parameter.nargs == -1 and not name.endswith("...") else ""
    return name + many if parameter.required or name.startswith("[") else f"[{name}]{many}"


def _bounds(parameter: Any) -> str:
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    told = [f"{sign} {value:g}" for sign, value in (("≥", low), ("≤", high)) if value is not None and abs(value) < 2**31 - 1]
    return f" ({', '.join(told)})" if told else ""


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return _cell(parameter.show_default)
    if parameter.required:
        return "needed"
    if parameter.is_flag if parameter.param_type_name == "option" else False:
        return "on" if parameter.default else "off"
    return _value(parameter.default)


def _value(value: Any) -> str:
    if value is None or value in ("", ()) or callable(value):
        return "–"
    return f"`{_escaped(str(value))}`"


if __name__ == "__main__":
    api = Path(__file__).parent / "plugin-api.md"
    api.write_text(with_values(api.read_text("utf-8")), "utf-8")
