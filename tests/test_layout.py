"""The tests of a module are found by its path: those of cacapp/fish/calls.py are in tests/fish/test_calls.py."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
OF_NO_MODULE = {"e2e": "whole commands", "docs": "pages", "security": "attacks", "fuzz": "damaged files"}
OF_SEVERAL = {
    "exchange/test_bad_files": "each format's reader",
    "db/test_views": "the views of db/tables.py",
    "host/test_api_version_1": "a frozen plugin, from its files to counts",
    "testing/test_built_ins_hold": "cacapp's own algorithms in the contract suite",
    "testing/test_contracts_tell": "an algorithm that breaks it for each claim",
    "test_audit": ".ci/audit.py",
    "test_python_fits": ".ci/python_fits.py",
    "test_layout": "this file",
    "test_public_api": "what cacapp/__init__.py offers",
}


def stands_by_its_module(path: Path) -> bool:
    """Whether the name begins with that of a module or folder in the same folder of cacapp/, or is that of a page of docs/."""
    folder = ROOT / "cacapp" / path.parent.relative_to(TESTS)
    words = path.stem.split("_")[1:]
    if words[0] == "docs":
        return (ROOT / "docs" / f"{'-'.join(words[1:])}.md").is_file()
    names = ["_".join(words[:n]) for n in range(1, len(words) + 1)]
    return any((folder / f"{name}.py").is_file() or any((folder / name).glob("*")) for name in names)


def test_each_file_of_tests_has_the_path_of_its_module() -> None:
    found = [p for p in sorted(TESTS.rglob("test_*.py")) if p.relative_to(TESTS).parts[0] not in OF_NO_MODULE]
    lost = [name for p in found if not stands_by_its_module(p) and (name := str(p.relative_to(TESTS).with_suffix(""))) not in OF_SEVERAL]
    assert lost == [], "no module of cacapp/ has this path: rename the test with its module, or say in OF_SEVERAL what it tests"
    assert [name for name in OF_SEVERAL if not (TESTS / f"{name}.py").is_file()] == []
