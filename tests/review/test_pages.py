"""The pages, as a browser asks for them: from the login to a stored decision."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape

import cv2
import numpy as np
import pytest
from httpx import Response
from sqlalchemy import text

from cacapp.db.review.readings import reviews_of_cell
from tests.review.conftest import PASSWORDS, Browser, Record

pytestmark = pytest.mark.sqlite_only
Visit = Callable[..., Browser]


def test_an_anonymous_visitor_is_sent_to_the_login_and_back(staffed: Record, visit: Visit) -> None:
    browser = visit()
    answer = browser.get(f"/slides/{staffed.slide_id}?group=all")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next=%2Fslides%2F{staffed.slide_id}%3Fgroup%3Dall")
    assert "/slides/" in browser.get(answer.headers["location"]).text


def test_the_worklist_shows_patients_slides_and_states(staffed: Record, visit: Visit) -> None:
    browser = visit("reviewer")
    page = browser.get("/").text
    for words in ("P1", "S1", "analysed", '<td class="n">2 <span class="soft">of 2</span></td>'):
        assert words in page
    assert "No patient or slide fits" in browser.get("/?q=P9").text
    assert "S1" in browser.get("/?q=s1", headers={"HX-Request": "true"}).text
    browser.decide(staffed, staffed.flagged()[0].cell_id, "accept")
    assert "in review" in browser.get("/").text


def test_the_gallery_shows_flagged_cells_first_in_the_order_of_margin(staffed: Record, visit: Visit) -> None:
    page = visit("viewer").get(f"/slides/{staffed.slide_id}").text
    shown = [page.index(f'data-cell="{c.cell_id}"') for c in sorted(staffed.flagged(), key=lambda c: c.margin or 1e9)]
    assert shown == sorted(shown)
    assert page.count('<article class="card') == 2
    assert visit("viewer").get(f"/slides/{staffed.slide_id}?group=all").text.count('<article class="card') == 20


def test_a_picture_holds_the_channels_below_each_other_and_is_not_sent_twice(staffed: Record, visit: Visit) -> None:
    browser = visit("viewer")
    cell = staffed.flagged()[0].cell_id
    answer = browser.get(f"/cells/{cell}/sprite.webp")
    image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image.shape[0] == 5 * image.shape[1]
    assert image.std() > 5
    again = browser.get(f"/cells/{cell}/sprite.webp", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def sheet(answer: Response) -> dict[int, bytes]:
    """Cell id to picture, of an answer with several."""
    found, rest = {}, answer.content
    while rest:
        line, _, rest = rest.partition(b"\n")
        cell, length = (int(word) for word in line.split())
        found[cell], rest = rest[:length], rest[length:]
    return found


def test_the_gallery_brings_the_pictures_of_a_screen_in_a_few_requests(staffed: Record, visit: Visit) -> None:
    browser = visit("viewer")
    page = browser.get(f"/slides/{staffed.slide_id}?group=all").text
    (address,) = {unescape(a) for a in re.findall(r'data-picture="([^"]+)"', page)}
    streamed = browser.get(address)
    assert streamed.headers["cache-control"] == "no-store"
    assert sheet(streamed).keys() == {c.cell_id for c in staffed.cells}
    kept = browser.get(address)  # drawn by now
    assert sheet(kept) == sheet(streamed)
    assert "max-age" in kept.headers["cache-control"]
    again = browser.get(address, headers={"If-None-Match": kept.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    sides = {cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE).shape for data in sheet(kept).values()}
    assert {height // width for height, width in sides} == {5}
    assert browser.get(f"/slides/{staffed.slide_id}/pictures?run={staffed.run_id}&cells=999999").status_code == 404
    assert browser.get(f"/slides/{staffed.slide_id}/pictures?run={staffed.run_id}&cells=1,..").status_code == 422


def test_a_count_whose_failed_frames_were_tried_again_is_shown_as_it_is_now(staffed: Record, visit: Visit) -> None:
    browser = visit("viewer")
    assert browser.get(f"/slides/{staffed.slide_id}").text.count('<article class="card') == 2
    normal = staffed.of_class("normal").cell_id
    with staffed.db.session() as session:
        session.execute(text("UPDATE cell_call SET class = 'cac', is_cac = true WHERE cell_id = :cell"), {"cell": normal})
        session.execute(text("UPDATE run SET finished_at = '2031-01-01 00:00:00' WHERE id = :run"), {"run": staffed.run_id})
    assert browser.get(f"/slides/{staffed.slide_id}").text.count('<article class="card') == 3


def test_a_picture_that_cannot_be_drawn_leaves_the_others_of_its_sheet(staffed: Record, visit: Visit) -> None:
    browser = visit("viewer")
    one, two = sorted(c.cell_id for c in staffed.flagged())
    assert browser.get(f"/slides/{staffed.slide_id}/pictures?run={staffed.run_id}&cells={one}").status_code == 200
    with staffed.db.session() as session:
        session.execute(text("UPDATE channel SET uri = '/gone/frame.ome.tif'"))
    other = next(c.cell_id for c in staffed.cells if not c.flagged)
    context = browser.app.state.context
    context.pixels._screens.clear()
    found = sheet(browser.get(f"/slides/{staffed.slide_id}/pictures?run={staffed.run_id}&cells={other},{one},{two}"))
    assert (found[other], len(found[one]) > 100) == (b"", True)


def test_a_decision_is_stored_and_the_next_open_cell_comes(staffed: Record, visit: Visit) -> None:
    browser = visit("reviewer")
    one, two = sorted(staffed.flagged(), key=lambda c: c.margin or 1e9)
    assert f"cell {one.cell_id}" in browser.get(f"/cells/{one.cell_id}").text.replace("data-cell", "")
    answer = browser.decide(staffed, one.cell_id, "accept", then="next")
    assert (answer.status_code, f"&#34;cell&#34;:{two.cell_id}," in answer.text) == (200, True)
    assert "All decided" in browser.decide(staffed, two.cell_id, "class", then="next", **{"class": "normal"}).text
    with staffed.db.reading() as session:
        rows = [reviews_of_cell(session, c.cell_id, staffed.run_id)[0] for c in (one, two)]
    assert [(r.reviewer, r.kind, r.after["class"]) for r in rows] == [("reviewer", "accept", "cac"), ("reviewer", "class", "normal")]


def test_a_decision_that_cannot_be_is_answered_with_the_reason(staffed: Record, visit: Visit) -> None:
    browser = visit("reviewer")
    cell = staffed.flagged()[0].cell_id
    wrong = browser.decide(staffed, cell, "class", **{"class": "tumour"})
    assert wrong.status_code == 422
    assert "none of the assay" in wrong.text
    browser.decide(staffed, cell, "accept")
    stale = browser.decide(staffed, cell, "accept", seen=0)
    assert stale.status_code == 409
    assert "decided by reviewer" in stale.text


def test_the_whole_way_to_a_signed_result(staffed: Record, visit: Visit) -> None:
    reviewer, pathologist = visit("reviewer"), visit("pathologist")
    for cell in staffed.flagged():
        assert "not decided yet" in pathologist.get(f"/patients/{staffed.patient_id}").text
        reviewer.decide(staffed, cell.cell_id, "accept")
    page = pathologist.get(f"/patients/{staffed.patient_id}?look=true").text
    hidden = dict(re.findall(r'type="hidden" name="(run_id|seen)" value="(\d+)"', page))
    wrong = pathologist.submit(f"/patients/{staffed.patient_id}/sign", password="not this one", **hidden)
    assert (wrong.status_code, "nothing was signed" in wrong.text) == (403, True)
    right = pathologist.submit(f"/patients/{staffed.patient_id}/sign", password=PASSWORDS["pathologist"], **hidden)
    assert right.status_code == 303, right.text
    assert "Signed by <b>pathologist</b>" in pathologist.get(f"/patients/{staffed.patient_id}").text
    assert "signed" in reviewer.get("/").text
    assert reviewer.decide(staffed, staffed.flagged()[0].cell_id, "undo", seen=1).status_code == 409


def test_the_frame_is_served_in_tiles_with_outlines(staffed: Record, visit: Visit) -> None:
    browser = visit("viewer")
    frame = staffed.cells[0].frame_id
    assert browser.get(f"/frames/{frame}?cell={staffed.cells[0].cell_id}").status_code == 200
    nuclei = browser.get(f"/frames/{frame}/outlines.json").json()["nuclei"]
    assert len(nuclei) == 10
    assert {n["class"] for n in nuclei} == {"normal", "gain", "cac"}
    tile = browser.get(f"/frames/{frame}/tiles/1/0/0.webp?channels=DAPI,red")
    image = cv2.imdecode(np.frombuffer(tile.content, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (256, 256, 3)
    assert browser.get(f"/frames/{frame}/tiles/1/9/0.webp").status_code == 422


def test_a_tile_at_the_frames_edge_is_as_large_as_any_and_transparent_beyond_it(staffed: Record, visit: Visit) -> None:
    browser = visit("viewer")
    frame = staffed.cells[0].frame_id
    told = json.loads(unescape(re.search(r'data-frame="([^"]+)"', browser.get(f"/frames/{frame}").text)[1]))
    zoom, last = told["zoom"], [(told[side] - 1) // 256 for side in ("width", "height")]
    image = cv2.imdecode(
        np.frombuffer(browser.get(f"/frames/{frame}/tiles/{zoom}/{last[0]}/{last[1]}.webp").content, np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert image.shape == (256, 256, 4)
    seen = np.zeros((256, 256), bool)
    seen[: told["height"] - 256 * last[1], : told["width"] - 256 * last[0]] = True
    assert np.array_equal(image[..., 3] == 255, seen)
    assert not image[..., 3][~seen].any()
