"""The child's end: it runs on an old Python without cacapp, and an error names the last line of the author's own code."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import ModuleType

import pytest

from cacapp.exceptions import CacappError
from cacapp.isolation import ChildProcess
from cacapp.processes import child
from cacapp.processes.child import failure


def module(name: str, file: Path, source: str) -> ModuleType:
    made = ModuleType(name)
    exec(compile(source, str(file), "exec"), made.__dict__)
    return made


def raised(work: object) -> BaseException:
    try:
        work()  # type: ignore[operator]
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


SEEDS = "import json\n\ndef prompt(text):\n    return inner(text)\n\ndef inner(text):\n    return json.loads(text)\n"


def test_an_error_inside_a_library_names_the_last_line_of_the_packages_own_code(tmp_path: Path) -> None:
    seeds = module("acme_seeds.prompter", tmp_path / "acme_seeds" / "prompter.py", SEEDS)
    found = failure(raised(lambda: seeds.prompt("{")), "acme_seeds.plugin")
    assert found.startswith("JSONDecodeError: Expecting property name")
    assert found.endswith(", at acme_seeds/prompter.py:7 in inner")


def test_the_body_of_a_module_and_a_lambda_have_no_name(tmp_path: Path) -> None:
    error = raised(lambda: module("acme", tmp_path / "acme.py", "x = 1\nx / 0\n"))
    assert failure(error, "acme") == "ZeroDivisionError: division by zero, at acme.py:2"
    one = module("acme", tmp_path / "acme.py", "f = lambda: 1 / 0\n")
    assert failure(raised(one.f), "acme") == "ZeroDivisionError: division by zero, at acme.py:1"


def test_an_error_that_came_through_none_of_its_lines_has_no_place() -> None:
    error = raised(lambda: json.loads("{"))
    assert ", at " not in failure(error, "acme")
    assert ", at " not in failure(error)
    assert failure(MemoryError()) == "ran out of memory"
    assert failure(RuntimeError("a\n  b")) == "RuntimeError: a b"


def test_an_adapter_of_a_file_names_its_line_when_asked_and_when_it_is_loaded(tmp_path: Path) -> None:
    asked, loaded = tmp_path / "asked.py", tmp_path / "loaded.py"
    asked.write_text("def handlers(arguments):\n    def nuclei(meta, arrays):\n        return [][0], {}\n    return {'nuclei': nuclei}\n")
    loaded.write_text("import no_such_library\n")
    for file, words in (
        (asked, "failed: IndexError: list index out of range, at asked.py:3 in nuclei"),
        (loaded, "failed: ModuleNotFoundError: No module named 'no_such_library', at loaded.py:1"),
    ):
        process = ChildProcess(str(file))
        with pytest.raises(CacappError) as caught:
            process.ask("nuclei")
        assert str(caught.value) == words
        process.close()


def test_it_is_python_3_8_and_imports_nothing_of_cacapp() -> None:
    source = Path(child.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not [name for name in imported if name.split(".")[0] in ("cacapp", "pickle")]
