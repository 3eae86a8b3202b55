"""Second reading, settlement, signature, amendment, carry-over and audit, as people meet them in the browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.review_server import PASSWORD, SCREENS, Server, Walk, copied, needs_browser, serving
from tests.e2e.review_states import decided, disputed, recounted, signed

pytestmark = [pytest.mark.sqlite_only, needs_browser]


@pytest.fixture(scope="module")
def states(staffed_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """Servers on a record that is disputed, one that is signed, and one that was counted again; for tests that only look."""
    servers, open_ = {}, []
    for make in (disputed, signed, recounted):
        folder = tmp_path_factory.mktemp(make.__name__)
        record = folder / "record.db"
        copied(staffed_once, record)
        make(record).db.dispose()
        open_.append(serving(record, folder))
        servers[make.__name__] = open_[-1].__enter__()
    yield servers
    for one in open_:
        one.__exit__(None, None, None)


@pytest.fixture
def prepared(staffed_once: Path, tmp_path: Path) -> Iterator[Any]:
    """Makes a server on a record of its own, in one of the states."""
    open_ = []

    def make(state: Any) -> Server:
        record = tmp_path / "record.db"
        copied(staffed_once, record)
        state(record).db.dispose()
        open_.append(serving(record, tmp_path))
        return open_[-1].__enter__()

    yield make
    for one in open_:
        one.__exit__(None, None, None)


def logged_in(browser: Any, server: Server, name: str) -> Walk:
    walk = Walk(browser, server.url)
    walk.log_in(name)
    return walk


def test_a_second_reader_reads_blind_and_a_pathologist_settles_what_they_disagree_on(prepared: Any, browser: Any) -> None:
    server = prepared(decided)
    bert = logged_in(browser, server, "bert")
    bert.open("/patients/1")
    bert.page.click("text=Read a second time, blind")
    bert.page.wait_for_selector(".card canvas[data-painted]")
    assert "to decide 2" in bert.text(".groups")
    assert bert.page.locator(".card.decided").count() == 0
    assert "rita" not in bert.page.inner_html("#gallery")
    bert.key("ArrowRight", "Enter")
    bert.page.wait_for_selector(".big canvas[data-painted]")
    assert "Nobody has decided yet" in bert.text(".history")
    assert "rita" not in bert.page.inner_html("#cell")
    bert.key(" ")
    bert.page.wait_for_selector("#cell .soft:has-text('2 of 2')")

    rita = logged_in(browser, server, "rita")
    rita.open("/slides/1")
    assert rita.page.locator(".card.decided").count() == 2
    assert rita.page.locator("[title='decided by bert']").count() == 0
    rita.open(re.sub(r"^.*?(/cells/\d+).*", r"\1", bert.page.url))
    rita.key("g")
    rita.page.wait_for_selector(".toast.bad:has-text('first reading is closed')")
    rita.errors.clear()  # the refusal's own 409

    bert.key("g")
    bert.page.wait_for_selector("[data-done]")
    bert.page.click("text=Finish the second reading")
    bert.page.wait_for_selector("text=Two readings of slide S1")
    assert bert.text(".figures").split("\n") == ["Cohen's kappa", "0.00", "same label", "1 of 2", "to settle", "1"]
    assert bert.page.locator("text=as adjudicator").count() == 0

    paula = logged_in(browser, server, "paula")
    paula.open("/patients/1")
    assert "1 disagreement to settle" in paula.text(".points")
    paula.page.click("text=/κ 0/")
    paula.page.wait_for_selector(".pair canvas[data-painted]")
    assert [paula.text(f".pair .facts div:nth-child({n})").split() for n in (2, 3, 4)] == [
        ["rita", "CAC", *paula.text(".pair .facts div:nth-child(2) .pattern").split()],
        ["bert", "gain", *paula.text(".pair .facts div:nth-child(3) .pattern").split()],
        ["settled", "open"],
    ]
    paula.page.click("text=Settle it as adjudicator")
    paula.page.click("text=Decide")
    paula.page.wait_for_selector(".big canvas[data-painted]")
    assert all(who in paula.text(".history") for who in ("rita", "bert second"))
    paula.key("g")
    paula.page.wait_for_timeout(500)
    paula.open("/slides/1/agreement")
    assert "gain" in paula.text(".pair .facts div:nth-child(4)")
    paula.open("/patients/1")
    assert paula.text(".compare tbody tr:nth-child(2)").split() == ["CACs", "2", "1"]
    paula.page.fill("#main form [name=password]", PASSWORD)
    paula.page.click("button.main:has-text('Sign')")
    paula.page.wait_for_selector("text=Signed by paula")
    assert (bert.errors, rita.errors, paula.errors) == ([], [], [])


def test_the_pictures_of_a_disagreement_are_in_the_dyes_colours(states: dict[str, Server], browser: Any) -> None:
    paula = logged_in(browser, states["disputed"], "paula")
    paula.open("/slides/1/agreement")
    paula.page.wait_for_selector(".pair canvas[data-painted]")
    grey = paula.page.locator(".pair canvas").first.evaluate(
        "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0, grey = 0;"
        " for (let i = 0; i < d.length; i += 4) if (d[i] + d[i+1] + d[i+2] > 120) { n += 1; grey += d[i] === d[i+1] && d[i] === d[i+2]; }"
        " return n ? grey / n : 1; }"
    )
    assert grey < 0.1


def test_after_the_signature_nothing_changes_without_an_amendment_and_a_new_signature(prepared: Any, browser: Any) -> None:
    server = prepared(signed)
    rita, paula = logged_in(browser, server, "rita"), logged_in(browser, server, "paula")
    rita.open("/cells/4")
    rita.page.wait_for_selector("text=A change needs an amendment")
    assert rita.page.locator("[data-decide]").count() == 0
    paula.open("/patients/1")
    paula.page.click("summary")
    paula.page.fill("[name=reason]", "cell 4 is an aggregate")
    paula.page.fill("details [name=password]", "not the password")
    paula.page.click("details button")
    paula.page.wait_for_selector("text=The password is wrong; nothing was opened.")
    paula.errors.clear()  # the refusal's own 403
    paula.page.click("summary")
    paula.page.fill("[name=reason]", "cell 4 is an aggregate")
    paula.page.fill("details [name=password]", PASSWORD)
    paula.page.click("details button")
    paula.page.wait_for_selector("text=Opened again: it needs a new signature")
    rita.open("/cells/4")
    rita.page.wait_for_selector(".big canvas[data-painted]")
    rita.key("x", "1")
    rita.page.wait_for_selector("[data-done]")
    paula.open("/patients/1")
    assert paula.text(".compare tbody tr:nth-child(2)").split() == ["CACs", "2", "1"]
    paula.page.fill("#main form [name=password]", PASSWORD)
    paula.page.click("button.main:has-text('Sign')")
    paula.page.wait_for_selector("text=Signed by paula")
    said = paula.text("ol.history").split("\n")
    assert [("signed:" in line, "opened it again: cell 4 is an aggregate" in line) for line in said if "paula" in line] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    paula.page.click("text=Report")
    paula.page.wait_for_selector("text=Automatic")  # a waiting page comes before it
    assert "Opened again by paula: cell 4 is an aggregate" in paula.text("body")
    assert (rita.errors, paula.errors) == ([], [])


def test_a_slide_that_is_counted_again_takes_matching_reviews_over_and_asks_about_the_others(prepared: Any, browser: Any) -> None:
    server = prepared(recounted)
    rita = logged_in(browser, server, "rita")
    rita.open("/patients/1")
    assert "the slides were counted again (run 4) after paula signed run 2" in rita.text("#main")
    rita.open("/slides/1")
    rita.page.click("text=1 review can be carried over, 1 needs a decision")
    rita.page.wait_for_selector(".pair canvas[data-painted]")
    assert "no nucleus here" in rita.text(".pair")
    assert "no nucleus of the new run is the same" in rita.text(".pair")
    rita.page.click("text=Carry 1 review over")
    rita.page.wait_for_selector("text=0 reviews belong")
    rita.page.fill("[name=reason]", "fell to pieces")
    rita.page.click("text=Leave behind")
    rita.page.wait_for_selector("text=No reviews of an earlier run are waiting")
    rita.open("/slides/1?group=decided")
    rita.page.wait_for_selector(".card.decided canvas[data-painted]")
    assert rita.page.locator(".card").count() == 1
    rita.page.locator(".card a").click()
    rita.page.wait_for_selector(".history")
    assert "carried over from run 2: decided by rita, IoU 1.00" in rita.text(".history")
    assert rita.errors == []


def test_the_audit_page_tells_an_admin_what_happened_and_nobody_else(states: dict[str, Server], browser: Any) -> None:
    ada, rita = (logged_in(browser, states["recounted"], name) for name in ("ada", "rita"))
    ada.page.click("text=Audit")
    ada.page.wait_for_selector("text=What happened")
    said = ada.text("main")
    for words in ("signed", "opened again", "the slide was segmented anew", "account made", "logged in", "127.0.0.1"):
        assert words in said, words
    assert rita.page.locator("text=Audit").count() == 0
    rita.open("/audit")
    assert "Your role, reviewer, may not do this" in rita.text("main")
    assert ada.errors == []


PAGES = {
    "disputed": (("paula", ("/slides/1/agreement", "/patients/1", "/cells/4")), ("bert", ("/slides/1/agreement",))),
    "signed": (("paula", ("/", "/patients/1", "/cells/4", "/slides/1?group=open")),),
    "recounted": (("rita", ("/slides/1", "/slides/1/carry-over")), ("paula", ("/patients/1",)), ("ada", ("/audit",))),
}


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_these_pages_fit_every_screen_and_have_no_serious_fault(states: dict[str, Server], browser: Any, width: int, theme: str) -> None:
    for state, visits in PAGES.items():
        for name, paths in visits:
            walk = Walk(browser, states[state].url, width, theme, tested=True)
            walk.log_in(name)
            for path in paths:
                walk.open(path)
                walk.page.wait_for_timeout(400)
                assert walk.fits(), (state, path)
                assert walk.faults() == [], (state, path)
            assert walk.errors == [], (state, name)
            walk.page.context.close()
