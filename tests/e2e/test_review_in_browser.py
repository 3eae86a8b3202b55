"""`cacapp review` in a real browser: from the login to the signed report, by keyboard, on every size of screen, light and dark."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from cacapp.db.review.accounts import make_token, require_account
from cacapp.db.review.readings import reviews
from tests.e2e.review_server import PASSWORD, PROGRAM, SCREENS, Server, Walk, needs_browser, serving

pytestmark = pytest.mark.sqlite_only


def stored(server: Server) -> list[tuple[str, str, Any]]:
    with server.db.reading() as session:
        return [(r.reviewer, r.kind, r.after["class"]) for r in reviews(session, [2])]


@needs_browser
def test_from_the_login_to_the_signed_report(server: Server, browser: Any) -> None:
    rita = Walk(browser, server.url)
    rita.log_in("rita")
    rita.key("j", "Enter")  # the first slide
    rita.page.wait_for_selector(".card canvas[data-painted]")
    assert "to decide 2" in rita.text(".groups")
    rita.key("ArrowRight", "Enter")  # its first cell
    rita.page.wait_for_selector(".big canvas[data-painted]")
    title = rita.text("#cell-title")
    assert title.startswith("CAC")

    # add a signal by keyboard: probe 4, crosshair, two steps aside, Enter; then choose it and take it away again
    before = rita.text("table.facts tbody tr:last-child td:last-child")
    rita.key("4", "i", "ArrowUp", "ArrowUp", "Enter")
    rita.page.wait_for_selector(".big .mark.by-hand")
    assert int(rita.text("table.facts tbody tr:last-child td:last-child")) == int(before) + 1
    rita.key("[", "Delete")
    rita.page.wait_for_selector(".big .mark.by-hand", state="detached")
    assert rita.text("table.facts tbody tr:last-child td:last-child") == before

    # and by mouse, in the channel's own picture
    rita.page.locator(".singles .stage").nth(4).click(position={"x": 60, "y": 60})
    rita.page.wait_for_selector(".big .mark.by-hand")
    rita.key("u")
    rita.page.wait_for_selector(".big .mark.by-hand", state="detached")

    # one key decides and brings the next cell
    rita.key(" ")
    rita.page.wait_for_selector("#cell .soft:has-text('2 of 2')")
    rita.key("x", "3")
    rita.page.wait_for_selector("[data-done]")
    kinds = [kind for _, kind, _ in stored(server)]
    assert kinds == ["signal_added", "signal_removed", "signal_added", "undo", "accept", "not_evaluable"]
    assert stored(server)[-1] == ("rita", "not_evaluable", None)

    paula = Walk(browser, server.url)
    paula.log_in("paula")
    paula.page.click("th a")
    paula.page.click("text=Show the reviewed result")
    assert paula.text(".compare tbody tr:nth-child(2)").split() == ["CACs", "2", "1"]
    paula.page.fill("#main form [name=password]", PASSWORD)
    paula.page.fill("[name=comment]", "agreed")
    paula.page.click("text=Sign >> nth=-1")
    paula.page.wait_for_selector("text=Signed by paula")
    paula.page.click("text=Report")
    paula.page.wait_for_selector("text=Automatic")  # a waiting page comes before it
    report = paula.text("body")
    for words in ("Signed by paula", "rita", "out of focus", "agreed", "Automatic"):
        assert words in report, words
    while (pdf := paula.page.context.request.get(f"{server.url}/patients/1/report.pdf")).status == 202:
        paula.page.wait_for_timeout(200)
    assert pdf.body().startswith(b"%PDF-")
    assert (rita.errors, paula.errors) == ([], [])


@needs_browser
def test_cells_are_decided_in_the_gallery_by_one_key_each(server: Server, browser: Any) -> None:
    rita = Walk(browser, server.url)
    rita.log_in("rita")
    rita.open("/slides/1?group=all")
    rita.page.wait_for_selector(".card canvas[data-painted]")
    rita.key("ArrowRight")
    for n in range(20):
        rita.key("n" if n % 2 else " ")
        rita.page.wait_for_selector(f".card.decided >> nth={n}")
    assert len(stored(server)) == 20
    assert (rita.text("[data-size-of=decided]"), rita.text("[data-size-of=open]")) == ("20", "0")
    rita.key("u")
    rita.page.wait_for_selector(".card.decided >> nth=19", state="detached")
    assert stored(server)[-1][1] == "undo"
    assert rita.errors == []


@needs_browser
def test_channels_contrast_and_size_apply_to_all_pictures_at_once(shared: Server, browser: Any) -> None:
    rita = Walk(browser, shared.url)
    rita.log_in("rita")
    rita.open("/slides/1?group=all")
    rita.page.wait_for_selector(".card canvas[data-painted] >> nth=5")

    for overlay in ("outline", "marks"):
        rita.page.locator(f"[data-overlay={overlay}]").uncheck()

    def red_of(n: int) -> float:
        """Mean red of a picture's pixels but those at its rounded corners, from a screenshot of it."""
        image = cv2.imdecode(np.frombuffer(rita.page.locator(".card canvas").nth(n).screenshot(), np.uint8), cv2.IMREAD_COLOR)
        return float(image[4:-4, 4:-4, 2].mean())

    before = [red_of(0), red_of(5)]
    for channel in ("DAPI", "aqua", "green", "gold"):
        rita.page.locator(f"[data-channel={channel}]").uncheck()
    rita.page.wait_for_timeout(300)
    only_red = [red_of(0), red_of(5)]
    assert all(b > r > 0 for b, r in zip(before, only_red, strict=True))
    rita.page.locator("[data-channel=red]").uncheck()
    rita.page.wait_for_timeout(300)
    assert [red_of(0), red_of(5)] == [0.0, 0.0]
    width = rita.page.locator(".card").first.bounding_box()["width"]
    rita.key("+", "+", "+", "+")
    assert rita.page.locator(".card").first.bounding_box()["width"] > width


PAGES = ("/", "/slides/1", "/slides/1?group=all", "/slides/1?group=decided", "/cells/4", "/frames/1?cell=4", "/patients/1", "/account")
ALONE = ("/login", "/nothing", "/audit")
"""Public pages, missing pages, and pages for administrators."""


@needs_browser
@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_every_page_fits_the_screen_and_has_no_serious_fault(shared: Server, browser: Any, width: int, theme: str) -> None:
    """For people who cannot see or use no mouse too, as axe tells."""
    for name, paths in (("paula", PAGES), ("ada", ALONE)):
        walk = Walk(browser, shared.url, width, theme, tested=True)
        walk.log_in(name)
        for path in paths:
            walk.open(path)
            walk.page.wait_for_timeout(300)
            assert walk.page.locator("html").get_attribute("data-theme") == theme
            assert walk.fits(), path
            assert walk.faults() == [], path
            if path in PAGES:
                walk.key("?")
                assert walk.faults() == [], f"the keys of {path}"
        missing = [e for e in walk.errors if "404" not in e]  # the page that nobody finds
        assert missing == []
        walk.page.context.close()


@needs_browser
def test_single_user_mode_starts_with_one_command_and_its_link(counted_once: Path, tmp_path: Path, browser: Any) -> None:
    with serving(counted_once, tmp_path, "--single-user", "--user", "olga") as single:
        walk = Walk(browser, re.sub(r"/once/.*", "", single.url))
        walk.page.goto(single.url)
        walk.page.wait_for_selector("#worklist")
        assert "olga" in walk.text(".tools")
        walk.page.goto(single.url)
        assert "used already" in walk.text("main")


def test_a_kill_during_writes_loses_no_answered_review_and_doubles_none(server: Server) -> None:
    """Decisions are sent without a pause until SIGKILL; then each one that was answered is there, once, and no half of another."""
    with server.db.session() as session:
        account = require_account(session, "rita")
        assert account.id is not None
        secret = make_token(session, account.id, "kill", 1, True)[1]
    answered: list[str] = []
    sent: list[str] = []

    def work(cell: int) -> None:
        seen = 0
        with httpx.Client(base_url=f"{server.url}/api/v1", headers={"Authorization": f"Bearer {secret}"}, timeout=10) as client:
            while True:
                key = uuid.uuid4().hex
                sent.append(key)
                body = {"kind": "class", "class": ("normal", "gain")[len(sent) % 2], "run_id": 2, "seen": seen, "key": key}
                try:
                    answer = client.post(f"/cells/{cell}/reviews", json=body)
                except httpx.HTTPError:
                    return
                assert answer.status_code == 200, answer.text
                seen = answer.json()["review"]["id"]
                answered.append(key)

    threads = [threading.Thread(target=work, args=(cell,)) for cell in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while len(answered) < 25 and time.monotonic() < deadline:
        time.sleep(0.005)
    server.process.kill()
    for thread in threads:
        thread.join(30)
    with server.db.reading() as session:
        rows = reviews(session, [2])
        kept = [r.key for r in rows]
    assert len(answered) >= 25
    assert set(answered) <= set(kept) <= set(sent)
    assert len(kept) == len(set(kept))
    for cell in (1, 2, 3, 4):
        own = [r for r in rows if r.cell_id == cell]
        assert [b.before["class"] for b in own[1:]] == [a.after["class"] for a in own[:-1]]  # a chain without a gap
    with closing(sqlite3.connect(server.path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_example_script_gets_the_same_counts_through_the_api_and_through_sql(server: Server) -> None:
    with server.db.session() as session:
        account = require_account(session, "rita")
        assert account.id is not None
        secret = make_token(session, account.id, "example", 1, True)[1]
    assert example(server, secret) == ["API  P1: 2 CACs automatic, not reviewed", "SQL  P1: 2 CACs automatic, not reviewed"]
    headers = {"Authorization": f"Bearer {secret}"}
    body = {"kind": "class", "class": "normal", "run_id": 2, "seen": 0, "key": uuid.uuid4().hex}
    assert httpx.post(f"{server.url}/api/v1/cells/4/reviews", json=body, headers=headers).status_code == 200
    assert example(server, secret) == ["API  P1: 2 CACs automatic, 1 reviewed", "SQL  P1: 2 CACs automatic, 1 reviewed"]


def example(server: Server, secret: str) -> list[str]:
    """The lines that docs/examples/cac_counts.py prints."""
    script = Path(__file__).parents[2] / "docs" / "examples" / "cac_counts.py"
    ended = subprocess.run(
        [sys.executable, str(script), str(server.path)],
        env=os.environ | {"CACAPP_URL": server.url, "CACAPP_TOKEN": secret},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_the_commands_of_the_page_on_review_are_those_the_program_has() -> None:
    text = (Path(__file__).parents[2] / "docs" / "review.md").read_text()
    commands = set(re.findall(r"^ *(cacapp (?:review|users)[^#\n]*)", text, re.MULTILINE))
    assert len(commands) >= 5
    for command in commands:
        words = command.split()
        given = [w for w in words if w.startswith("--")]
        stem = words[1:3] if words[1] == "users" else words[1:2]
        shown = subprocess.run(
            [*PROGRAM, *stem, "--help"], capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"}
        )
        assert shown.returncode == 0, command
        assert [g for g in given if g not in shown.stdout] == [], command
