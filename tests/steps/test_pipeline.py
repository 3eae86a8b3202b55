"""A patient's result is that of the last request: its limit, its assay, its slides."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def patient(cacapp: Run) -> dict[str, Any]:
    (found,) = cacapp("patients", "--json").json
    return dict(found)


def results(cacapp: Run) -> dict[str, tuple[float, int, int]]:
    """Assay to blood volume, frames and missing frames of the patient's result by it."""
    found = cacapp("patients", "--json").json
    return {r["assay_name"]: (r["blood_volume_ul"], r["frames"], r["frames_failed"]) for r in found}


def shown_limit() -> str:
    page = re.sub(r"<[^>]+>", " ", Path("reports/P1.html").read_text())
    return " ".join(page.split())


def changed_assay(path: Path, name: str = "ours") -> Path:
    """The built-in assay under another name, probes in the reverse order."""
    text = (resources.files("cacapp.fish.assay") / "definitions" / "katz-4color.toml").read_text()
    head, *probes = re.split(r"(?=^\[\[probes\]\])", text.split("[signals]")[0], flags=re.M)
    tail = "[signals]" + text.split("[signals]", 1)[1]
    path.write_text(head.replace('name = "katz-4color"', f'name = "{name}"') + "".join(reversed(probes)) + tail)
    return path


@pytest.mark.slow
def test_another_limit_refreshes_the_verdict_without_counting_again(counted: Run) -> None:
    assert patient(counted)["verdict"] == "insufficient"
    runs = counted("runs", "list", "--json").json
    ended = counted("count", "--min-evaluable", 5)
    assert "already done" in ended.out
    assert patient(counted)["verdict"].startswith(("increased", "not increased"))
    again = counted("runs", "list", "--json").json
    assert [r["id"] for r in again] == [r["id"] for r in runs]
    assert again[0]["finished_at"] == runs[0]["finished_at"]
    assert again[0]["params"]["min_evaluable_cells"] == 5
    assert counted("report", "--format", "html").code == 0
    assert "5 evaluable cells" in shown_limit()
    # And back: without the option the assay's own limit holds, and no trace of the other one is left.
    counted("count")
    assert patient(counted)["verdict"] == "insufficient"
    assert "min_evaluable_cells" not in counted("runs", "list", "--json").json[0]["params"]
    counted("report", "--format", "html")
    assert "500 evaluable cells" in shown_limit()


@pytest.mark.slow
def test_asking_for_earlier_settings_again_makes_them_the_latest(counted: Run) -> None:
    before = counted("cells", "--json").json
    assert counted("segment", "--segmenter", "coarse", "--set", "floor=0.9", "--set", "max_area_um2=40").code == 0
    assert counted("segment", "--segmenter", "coarse").code == 0
    (latest, *_) = counted("runs", "list", "--json").json
    assert latest["step"] == "segment"
    assert latest["fingerprint"] == counted("runs", "show", 1, "--json").json["fingerprint"]
    assert counted("count").code == 0
    now = counted("cells", "--json").json
    assert {c["segment_run_id"] for c in now} == {latest["id"]}
    keep = ("frame", "label", "y", "x", "aqua", "green", "gold", "red", "class")
    assert [[c[k] for k in keep] for c in now] == [[c[k] for k in keep] for c in before]


@pytest.mark.slow
def test_slides_counted_with_another_assay_are_left_out_and_named(counted: Run, tmp_path: Path, small_slide: Path) -> None:
    # The same pixels cannot belong to two slides: one frame is cut.
    import tifffile

    from cacapp.types import CHANNELS

    pixels = tifffile.imread(small_slide / "frame00.ome.tif")[:, :380]
    (tmp_path / "second").mkdir()
    metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}}
    tifffile.imwrite(tmp_path / "second" / "cut.ome.tif", pixels, ome=True, photometric="minisblack", metadata=metadata)
    other = changed_assay(tmp_path / "ours.toml")
    second = ("--patient", "P1", "--slide", "S2", "--blood-volume-ul", "50")
    ended = counted("run", tmp_path / "second", *second, "--assay", other, "--no-report")
    assert ended.code == 0
    (warning,) = [line for line in ended.lines("warning") if "assay" in line]
    assert "S1 (katz-4color 2)" in warning
    assert results(counted) == {"ours": (50.0, 3, 2), "katz-4color": (100.0, 2, 0)}
    counted("report", "--format", "html")
    assert "counted with another assay" in Path("reports/P1.html").read_text()
    ended = counted("count", "S1")
    assert "already done" in ended.out
    assert "S2 (ours 2)" in ended.err
    assert results(counted) == {"ours": (50.0, 3, 2), "katz-4color": (100.0, 3, 1)}
    assert counted("count", "--assay", other).lines("warning") == []
    assert results(counted) == {"ours": (150.0, 3, 0), "katz-4color": (100.0, 3, 1)}


@pytest.mark.slow
def test_patterns_in_the_report_are_in_the_order_of_the_assay(counted: Run, tmp_path: Path) -> None:
    assert counted("count", "--assay", changed_assay(tmp_path / "ours.toml")).code == 0
    assert counted("report", "--format", "html").code == 0
    page = Path("reports/P1.html").read_text()
    cells = [c for c in counted("cells", "--json").json if c["evaluable"]]
    lopsided = next(
        c for c in cells if [c[p] for p in ("aqua", "green", "gold", "red")] != [c[p] for p in ("red", "gold", "green", "aqua")]
    )
    assert "-".join(str(lopsided[p]) for p in ("red", "gold", "green", "aqua")) in page


@pytest.mark.slow
def test_a_report_without_its_pixels_lacks_pictures_only(cacapp: Run, small_slide: Path, tmp_path: Path) -> None:
    shutil.copytree(small_slide, tmp_path / "in")
    who = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")
    assert cacapp("run", tmp_path / "in", *who, "--no-report").code == 0
    (tmp_path / "in" / "frame01.ome.tif").unlink()
    ended = cacapp("report", "--format", "html")
    assert ended.code == 0
    assert any("frame01" in line and "no pictures" in line for line in ended.lines("warning"))
    assert "frame01" in Path("reports/P1.html").read_text()


@pytest.mark.parametrize("pending", [0, 1])
@pytest.mark.parametrize("status", ["running", "failed"])
def test_a_run_that_did_not_succeed_is_resumed(counted: Run, ask: Callable[..., Any], status: str, pending: int) -> None:
    """Killed in the middle, or between its last frame and its end."""
    ask("UPDATE run SET status = :status WHERE step = 'count'", status=status)
    ask("UPDATE run_frame SET status = 'pending' WHERE run_id = 2 AND frame_id <= :pending", pending=pending)
    ended = counted("count", "--json").json
    assert [(r["run_id"], r["done"], r["repeated"]) for r in ended] == [(2, 2, False)]
    assert counted("runs", "show", 2, "--json").json["status"] == "succeeded"
