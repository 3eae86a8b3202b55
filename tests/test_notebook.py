"""A slide goes through the whole pipeline from Python, as from the command line, and nothing is printed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cacapp as api
from cacapp.exceptions import CacappError, UsageError

ROOT = Path(__file__).parents[1]
Cacapp = Callable[..., Any]
WHO: dict[str, Any] = {"patient": "P1", "slide": "S1", "blood_volume_ul": 100, "segmenter": "coarse"}
OPTIONS = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100", "--segmenter", "coarse")


class Heard:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.warnings: list[str] = []

    def start(self, what: str, total: int) -> None:
        self.steps.append(what)

    def advance(self, note: str = "", by: int = 1) -> None:
        return None

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def fail(self, line: str) -> None:
        self.warnings.append(line)


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_a_slide_has_the_result_that_the_command_gives_and_nothing_is_printed(
    small_slide: Path, record_url: str, cacapp: Cacapp, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    result = api.run_slide(small_slide, **WHO, db=record_url, out=tmp_path / "pages", progress=heard)
    assert capfd.readouterr() == ("", "")
    assert heard.steps == ["ingest", "segment", "count", "report"]
    assert result.warnings == tuple(heard.warnings)
    assert [page.name for page in result.pages] == ["P1.html", "index.html"]
    assert all(page.is_file() for page in result.pages)
    assert (result.segment_run_id, result.count_run_id, result.failed, result.refused) == (1, 2, (), ())

    ended = cacapp("run", small_slide, *OPTIONS, "--no-report")
    assert ended.out.count("already done") == 2, "the command asks for the very same runs"
    [patient] = cacapp("patients", "--json").json
    assert result.verdict == patient["verdict"]
    for name in ("cells", "evaluable", "classes", "exclusions", "cacs", "cacs_per_100ul", "cacs_per_100ul_low", "cacs_per_100ul_high"):
        assert getattr(result.numbers, name) == patient[name], name
    cells = result.cells().to_pylist()
    assert [(c["frame"], c["label"], c["class"]) for c in cells] == [
        (c["frame"], c["label"], c["class"]) for c in cacapp("cells", "--json").json
    ]


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_the_same_call_repeats_nothing_and_other_parameters_begin_new_runs(small_slide: Path, record_url: str) -> None:
    first, again = (api.run_slide(small_slide, **WHO, db=record_url) for _ in range(2))
    assert (again.segment_run_id, again.count_run_id) == (first.segment_run_id, first.count_run_id)
    other = api.run_slide(small_slide, **WHO, db=record_url, parameters={"watershed": {"floor": 0.9}})
    assert other.segment_run_id not in (first.segment_run_id, first.count_run_id)
    with api.open(record_url) as record:
        assert record.cells(slide="S1").num_rows == other.numbers.cells


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_each_assay_has_its_own_result(small_slide: Path, record_url: str) -> None:
    first = api.run_slide(small_slide, **WHO, db=record_url)
    other = api.run_slide(small_slide, **WHO, db=record_url, assay="any-gain")
    again = api.run_slide(small_slide, **WHO, db=record_url)
    assert other.numbers.classes.keys() != first.numbers.classes.keys()
    assert again.numbers == first.numbers


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_an_unknown_volume_is_a_warning_and_gives_no_rate(small_slide: Path, record_url: str) -> None:
    result = api.run_slide([small_slide], **(WHO | {"blood_volume_ul": None}), db=record_url)
    assert result.numbers.cacs_per_100ul is None
    assert any("blood volume unknown" in line for line in result.warnings)


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segmenter": "snam"}, "snam"),
        ({"parameters": {"sam": {}}}, "'sam'"),
        ({"parameters": {"watershed": {"flor": 1}}}, "flor"),
        ({"blood_volume_ul": -5}, "above 0"),
        ({"pixel_size_um": -1.0}, "pixel_size_um"),
        ({"same_pixels": " "}, "same_pixels is empty"),
        ({"assay": "nowhere.toml"}, r"nowhere\.toml"),
        ({"workers": 2, "cluster": "tcp://head:8786"}, "cluster"),
    ],
)
def test_a_wrong_argument_is_a_usage_error_in_one_line(
    change: dict[str, Any], message: str, small_slide: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        api.run_slide(small_slide, **(WHO | change), db=tmp_path / "new.db")
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.sqlite_only
def test_a_slide_without_a_frame_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.tif").write_text("no picture")
    with pytest.raises(CacappError, match="nothing to ingest"):
        api.run_slide(tmp_path / "notes.tif", **WHO, db=tmp_path / "new.db")


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_the_example_of_the_documentation_runs(small_slide: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "examples" / "run_slide.py"), str(small_slide), str(tmp_path / "cacapp.db")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stderr == ""
    assert "CACs per 100 µL (95 % interval" in ended.stdout
    assert ended.stdout.startswith("S1: ")
