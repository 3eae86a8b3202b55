"""A slide opens with its nuclei as labels, its signals as points and its calls as properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari_cacapp.reader import get_reader, read

from cacapp.db.cells.queries import cells, signals_of_frame
from cacapp.db.engine.session import open_database
from cacapp.exceptions import CacappError, UsageError


def test_what_is_no_record_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("no database")
    assert get_reader(str(tmp_path / "notes.db")) is None
    assert get_reader(str(tmp_path / "image.tif")) is None
    assert get_reader([str(tmp_path / "a.db")]) is None


def test_layers_hold_what_the_record_holds(record: Path) -> None:
    reader = get_reader(str(record))
    assert reader is not None
    layers = {about["name"]: (data, about, kind) for data, about, kind in reader(str(record))}
    probes = ["aqua", "green", "gold", "red"]
    assert [name for name, layer in layers.items() if layer[2] == "image"] == [f"S1 {c}" for c in ["DAPI", *probes]]
    with open_database(record).reading() as session:
        rows = cells(session)
        run_id = rows[0].run_id or 0
        dots = [d for frame_id in {r.frame_id for r in rows} for d in signals_of_frame(session, run_id, frame_id)]
    labels, about, _ = layers["S1 nuclei"]
    assert labels.shape == (2, 384, 384)
    features = about["features"]
    assert list(features["cell_id"]) == [r.cell_id for r in rows]
    stack = np.asarray(labels)
    for number, row in zip(features["index"], rows, strict=True):
        assert (stack == number).sum() == row.area_px
    assert list(features["red"]) == [r.counts["red"] for r in rows]
    calls = layers["S1 cells"]
    assert list(calls[1]["features"]["class"]) == [r.class_ if r.evaluable else "not evaluable" for r in rows]
    assert np.allclose(calls[0][:, 1:], [[r.y, r.x] for r in rows])
    for probe in probes:
        data, _, kind = layers[f"S1 {probe} signals"]
        assert kind == "points"
        assert sorted(map(tuple, data[:, 1:])) == sorted(d.yx for d in dots if d.channel == probe and d.reason is None)
    image = layers["S1 red"][0]
    assert np.asarray(image[1]).max() > 0


def test_a_bookmark_names_record_slide_and_reviewer(record: Path) -> None:
    bookmark = record.with_name("S1.cacapp.toml")
    bookmark.write_text('db = "cacapp.db"\nslide = "S1"\nreviewer = "kh"\n')
    assert get_reader(str(bookmark)) is not None
    assert len(read(str(bookmark))) == 11


@pytest.mark.parametrize(
    ("content", "said"),
    [("slide = 'S1'", "db and slide"), ("db = ", "no bookmark"), ("db = 'cacapp.db'\nslide = 'S9'", "S9"), ("db = 'none.db'", "none.db")],
)
def test_a_bookmark_that_leads_nowhere_is_refused_in_one_line(record: Path, content: str, said: str) -> None:
    bookmark = record.with_name("x.cacapp.toml")
    bookmark.write_text(content)
    with pytest.raises(CacappError) as refused:
        read(str(bookmark))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_of_several_slides_one_has_to_be_named(record: Path) -> None:
    from cacapp.cli.app import run_command

    slide = next(Path(f["uri"]).parent for f in _frames(record))
    extra = record.parent / "again"
    extra.mkdir()
    import tifffile

    pixels = tifffile.imread(sorted(slide.glob("*.ome.tif"))[0])[:, ::-1]
    tifffile.imwrite(
        extra / "f.ome.tif",
        pixels,
        ome=True,
        photometric="minisblack",
        metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "aqua", "green", "gold", "red"]}},
    )
    who = ("--patient", "P1", "--slide", "S2", "--blood-volume-ul", "100", "--segmenter", "coarse", "--no-report", "--quiet")
    assert run_command(["run", str(extra), *who, "--db", str(record)]) == 0
    with pytest.raises(UsageError, match=r"several slides \(S1, S2\)"):
        read(str(record))


def _frames(record: Path) -> list[dict[str, str]]:
    import sqlite3

    with sqlite3.connect(record) as raw:
        return [{"uri": uri} for (uri,) in raw.execute("SELECT uri FROM frame ORDER BY name")]
