"""Every route for every role and for nobody, from the routes themselves; and what no role may do to another's session or data."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlmodel import select

from cacapp.db.review.accounts import make_token, require_account
from cacapp.db.review.readings import seen_ids
from cacapp.db.review.tables import WebSession
from cacapp.db.tables import Patient, Slide, now
from cacapp.review import api
from cacapp.review.app import PAGES, create_app
from cacapp.review.authorisation import SESSION_COOKIE, Needs
from cacapp.review.pages.login import local_path
from cacapp.review.security import MAX_BODY_BYTES
from cacapp.review.serve import owner_account
from cacapp.review.settings import Settings
from cacapp.steps.review.accounts import MAX_FAILURES_OF_NAME, set_active, set_password
from cacapp.steps.review.roles import AUDIT, DECIDE, READ, SIGN
from tests.review.conftest import BASE, PASSWORDS, Browser, Record, Shared

pytestmark = pytest.mark.sqlite_only
Visit = Callable[..., Browser]

ROUTES = [("", r) for module in PAGES for r in module.router.routes] + [("/api/v1", r) for r in api.router.routes]
OPEN = {"/login", "/once/{token}", "/static/{name}", "/healthz"}
ROLES = {
    "viewer": {READ},
    "reviewer": {READ, DECIDE},
    "pathologist": {READ, DECIDE, SIGN},
    "admin": {READ, AUDIT},
}
"""What each role may do, written down here once more: a slip in the application's own table shows."""


def permission(route: APIRoute) -> str | None:
    found = [d.call.permission for d in route.dependant.dependencies if isinstance(d.call, Needs)]
    assert len(found) <= 1
    return found[0] if found else None


def test_only_login_and_plain_files_are_open_to_anybody() -> None:
    assert {prefix + r.path for prefix, r in ROUTES if permission(r) is None} == OPEN


def test_writes_need_more_than_reading_but_for_ones_own_account() -> None:
    for _, route in ROUTES:
        if route.methods & {"POST", "PUT", "DELETE"} and not route.path.startswith(("/account", "/log")):
            assert permission(route) in (DECIDE, SIGN), route.path
    assert {r.path for _, r in ROUTES if permission(r) == AUDIT} == {"/audit"}


def asked(client: TestClient, prefix: str, route: APIRoute, record: Record, headers: dict[str, str], *, drawn: bool) -> int:
    """The status of a request with real ids and an empty body: what is allowed gets past the guard, whatever it says then.

    ``drawn`` False: reports, which take a second to draw, are asked for a patient that does not exist.
    """
    ids = {
        "patient_id": record.patient_id if drawn or "/report" not in route.path else 999_999,
        "slide_id": record.slide_id,
        "cell_id": record.cells[0].cell_id,
        "token": "x",
        "name": "review.css",
    }
    ids |= {"frame_id": record.cells[0].frame_id, "zoom": 0, "column": 0, "row": 0}
    url = prefix + route.path.format(**ids)
    (method,) = route.methods
    return client.request(method, url, headers=headers, data={} if method == "POST" else None).status_code


@pytest.mark.slow
@pytest.mark.parametrize("role", [*ROLES, None])
def test_the_matrix_of_routes_and_roles(shared: Shared, role: str | None) -> None:
    allowed = set() if role is None else ROLES[role]
    bearer: dict[str, str] = {}
    browser = Browser(shared.app)
    if role is not None:
        browser.log_in(role, PASSWORDS[role])
        with shared.record.db.session() as session:
            account = require_account(session, role)
            assert account.id is not None
            bearer = {"Authorization": f"Bearer {make_token(session, account.id, 'matrix', 1, True)[1]}"}
    csrf = {"X-CSRF-Token": browser.csrf}
    for prefix, route in sorted(ROUTES, key=lambda r: r[1].path == "/logout"):  # last, for it ends the session
        if route.path in ("/events", *OPEN):
            continue
        headers = bearer if prefix else csrf
        status = asked(browser, prefix, route, shared.record, headers, drawn=role == "viewer")
        name = f"{role} {route.methods} {prefix}{route.path}: {status}"
        if role is None:
            assert status in (401, 303), name
        elif permission(route) in allowed:
            assert status not in (401, 403, 500), name
        else:
            assert status == 403, name


def test_the_event_stream_is_for_those_who_are_logged_in(visit: Visit) -> None:
    assert visit().get("/events").status_code == 303


def writes() -> list[str]:
    return sorted(r.path for prefix, r in ROUTES if "POST" in r.methods and not prefix and r.path != "/login")


@pytest.mark.parametrize("path", writes())
@pytest.mark.parametrize("how", ["no token", "another's token", "from another site", "from another origin"])
def test_a_write_that_our_own_page_did_not_send_is_refused(shared: Shared, path: str, how: str) -> None:
    browser, record = shared.browser("pathologist"), shared.record
    url = path.format(patient_id=record.patient_id, slide_id=record.slide_id, cell_id=record.cells[0].cell_id)
    token = "" if how == "no token" else shared.browser("viewer" if how == "another's token" else "pathologist").csrf
    headers = {"X-CSRF-Token": token}
    headers |= {"from another site": {"Sec-Fetch-Site": "cross-site"}, "from another origin": {"Origin": "https://evil.example"}}.get(
        how, {}
    )
    assert browser.post(url, headers=headers).status_code == 403


def test_the_login_form_itself_cannot_be_sent_by_another_site(visit: Visit) -> None:
    browser = visit()
    form = {"name": "reviewer", "password": PASSWORDS["reviewer"]}
    assert browser.post("/login", data=form).status_code == 403
    browser.get("/login")
    assert browser.post("/login", data={**form, "csrf_token": "guessed"}).status_code == 403


def test_a_session_that_was_there_before_the_login_is_not_the_one_after_it(visit: Visit) -> None:
    browser = visit()
    browser.cookies.set(SESSION_COOKIE, "known-to-the-attacker")
    browser.log_in("reviewer", PASSWORDS["reviewer"])
    secret = browser.cookies.get(SESSION_COOKIE, domain="127.0.0.1")
    assert secret not in (None, "known-to-the-attacker")
    first = secret
    browser.log_in("reviewer", PASSWORDS["reviewer"])
    old = visit()
    old.cookies.set(SESSION_COOKIE, str(first))
    assert old.get("/").status_code == 303  # and the one before ended


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(app: FastAPI, staffed: Record, visit: Visit, tmp_path: Path) -> None:
    cookie = visit().log_in("reviewer", PASSWORDS["reviewer"]).headers["set-cookie"]
    assert SESSION_COOKIE in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    secure = Browser(create_app(staffed.db, Settings(cache=tmp_path, https=True, prefetch_threads=0)))
    secure.base_url = "https://127.0.0.1:8350"
    answer = secure.log_in("reviewer", PASSWORDS["reviewer"])
    assert "Secure" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


def test_logging_out_ends_the_session_on_the_server(visit: Visit) -> None:
    browser = visit("reviewer")
    secret = browser.cookies[SESSION_COOKIE]
    browser.submit("/logout")
    browser.cookies.set(SESSION_COOKIE, secret)
    assert browser.get("/").status_code == 303


def test_an_idle_session_is_logged_out_and_watching_progress_counts_as_idle(staffed: Record, visit: Visit) -> None:
    browser = visit("reviewer")
    with staffed.db.session() as session:
        for kept in session.exec(select(WebSession)):
            kept.last_seen_at = now() - timedelta(minutes=29)
    assert browser.get("/").status_code == 200  # which counts as use
    assert browser.app.state.later.flush()  # type: ignore[attr-defined]
    with staffed.db.session() as session:
        for kept in session.exec(select(WebSession)):
            assert now() - kept.last_seen_at < timedelta(minutes=1)
            kept.last_seen_at = now() - timedelta(minutes=31)
    assert browser.get("/").status_code == 303


def test_a_disabled_account_is_out_at_once(staffed: Record, visit: Visit) -> None:
    browser = visit("reviewer")
    set_active(staffed.db, "reviewer", False, "test")
    assert browser.get("/").status_code == 303
    assert visit().log_in("reviewer", PASSWORDS["reviewer"]).status_code == 401


def test_wrong_passwords_are_throttled_by_name_even_for_the_right_one(visit: Visit) -> None:
    browser = visit()
    for _ in range(MAX_FAILURES_OF_NAME):
        assert browser.log_in("viewer", "wrong wrong wrong").status_code == 401
    answer = browser.log_in("viewer", PASSWORDS["viewer"])
    assert answer.status_code == 429
    assert "wait 15 minutes" in answer.text
    assert browser.log_in("reviewer", PASSWORDS["reviewer"]).status_code == 303


def test_a_wrong_name_and_a_wrong_password_read_alike(visit: Visit) -> None:
    texts = [visit().log_in(name, "wrong wrong wrong") for name in ("viewer", "nobody")]
    plain = [re.sub(r'value="[^"]*"', "", t.text) for t in texts]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("path", ["/cells/{}", "/slides/{}", "/patients/{}", "/frames/{}", "/cells/{}/sprite.webp", "/patients/{}/report"])
@pytest.mark.parametrize(("forged", "status"), [("999999", 404), ("0", 422), ("-1", 422), ("1e3", 422), ("99999999999999999999", 422)])
def test_a_forged_number_finds_nothing(shared: Shared, path: str, forged: str, status: int) -> None:
    assert shared.browser("viewer").get(path.format(forged)).status_code == status


@pytest.mark.parametrize(
    "path",
    [
        "/static/../settings.py",
        "/static/%2e%2e%2fsettings.py",
        "/static/..%2f..%2fdb%2fsession.py",
        "/static//etc/passwd",
        "/cells/..%2f..%2fetc%2fpasswd/sprite.webp",
        "/frames/1/tiles/0/0/..%2f..%2fsecret.webp",
        "/frames/../../etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_folder(shared: Shared, path: str) -> None:
    answer = shared.browser("viewer").get(path)
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text
    assert "dataclass" not in answer.text


def test_channels_in_a_tiles_address_name_channels_only(shared: Shared) -> None:
    frame = shared.record.cells[0].frame_id
    assert shared.browser("viewer").get(f"/frames/{frame}/tiles/0/0/0.webp?channels=../../etc/passwd").status_code == 422


def test_another_host_name_is_refused(shared: Shared) -> None:
    assert shared.browser("viewer").get("/", headers={"Host": "rebound.evil.example"}).status_code == 421


def test_a_huge_body_is_refused(shared: Shared) -> None:
    browser = shared.browser("reviewer")
    assert browser.post("/logout", content=b"x" * (MAX_BODY_BYTES + 1)).status_code == 413
    stream = (b"x" * 10_000 for _ in range(20))
    assert browser.post("/logout", content=stream, headers={"Content-Type": "application/x-www-form-urlencoded"}).status_code == 413


@pytest.mark.slow
def test_every_answer_carries_the_headers(shared: Shared) -> None:
    browser, record = shared.browser("viewer"), shared.record
    for path in ("/", "/login", f"/slides/{record.slide_id}", "/static/review.js", "/nothing", "/api/v1/patients", "/api/v1/openapi.json"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    assert browser.get("/").headers["cache-control"] == "no-store"
    report = browser.report(f"/patients/{record.patient_id}/report").headers["content-security-policy"]
    assert "script-src" not in report
    assert "default-src 'none'" in report


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb", ""])
def test_a_login_leads_to_our_own_pages_only(target: str) -> None:
    assert local_path(target) == "/"


@pytest.mark.slow
def test_html_in_what_people_write_is_text(staffed: Record, visit: Visit) -> None:
    browser = visit("pathologist")
    evil = "<img src=x onerror=alert(1)>\"'><script>alert(1)</script>"
    cell = staffed.flagged()[0].cell_id
    browser.decide(staffed, cell, "comment", reason=evil)
    browser.decide(staffed, cell, "not_evaluable", seen=1, reason=evil)
    browser.submit("/account/tokens", label=evil[:90])
    with staffed.db.session() as session:
        session.get_one(Patient, staffed.patient_id).code = evil
        session.get_one(Slide, staffed.slide_id).barcode = evil + "2"
    pages = [
        "/",
        f"/cells/{cell}",
        f"/slides/{staffed.slide_id}?group=all",
        f"/patients/{staffed.patient_id}",
        "/account",
        f"/frames/{staffed.cells[0].frame_id}",
    ]
    pages += [f"/patients/{staffed.patient_id}/report"]
    for path in pages:
        text = browser.report(path).text
        assert "<img src=x" not in text, path
        assert "<script>alert" not in text, path
    assert "&lt;img" in browser.get(f"/cells/{cell}").text


def test_the_one_time_link_works_once_and_only_in_single_user_mode(staffed: Record, app: FastAPI, tmp_path: Path) -> None:
    name, secret = owner_account(staffed.db, "olga")
    single = create_app(staffed.db, Settings(cache=tmp_path, owner=name, prefetch_threads=0), secret)
    browser, thief = Browser(single), Browser(single)
    assert thief.get("/once/guessed").status_code == 403
    answer = browser.get(f"/once/{secret}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "olga" in browser.get("/").text
    assert browser.get("/audit").status_code == 200
    assert thief.get(f"/once/{secret}").status_code == 403
    assert Browser(app).get(f"/once/{secret}").status_code == 403
    set_password(staffed.db, "olga", "words of an owner", "test")
    assert Browser(single).log_in("olga", "words of an owner").status_code == 303
    assert Browser(app).log_in("olga", "words of an owner").status_code == 401  # an owner is one in single-user mode only


def test_the_audit_trail_tells_logins_failures_and_signatures(staffed: Record, visit: Visit) -> None:
    visit().log_in("viewer", "wrong wrong wrong")
    visit("viewer")
    page = visit("admin").get("/audit").text
    for words in ("wrong password", "logged in", "account made", "testclient"):
        assert words in page


def test_a_second_reader_is_blind_in_pages_and_api(staffed: Record, app: FastAPI, visit: Visit) -> None:
    first, second = visit("reviewer"), visit("second")
    for cell in staffed.flagged():
        first.decide(staffed, cell.cell_id, "class", **{"class": "gain"})
        first.decide(staffed, cell.cell_id, "comment", seen=staffed_seen(staffed, cell.cell_id), reason="my secret opinion")
    second.submit(f"/slides/{staffed.slide_id}/second")
    with staffed.db.session() as session:
        account = require_account(session, "second")
        assert account.id is not None
        bearer = {"Authorization": f"Bearer {make_token(session, account.id, 'blind', 1, False)[1]}"}
    cell = staffed.flagged()[0].cell_id
    for path in (f"/cells/{cell}", f"/slides/{staffed.slide_id}?group=all", f"/slides/{staffed.slide_id}?group=decided"):
        text = second.get(path).text
        assert "my secret opinion" not in text
        assert "was CAC" not in text
        assert "decided by" not in text
    client = TestClient(app, base_url=f"{BASE}/api/v1", headers=bearer)
    assert client.get(f"/slides/{staffed.slide_id}/reviews").json() == []
    assert client.get(f"/cells/{cell}").json()["reviewed"]["class"] == "cac"
    assert client.get("/patients").json()["items"][0]["reviewed"]["cacs"] == 2
    for path in (f"/patients/{staffed.patient_id}/report", f"/patients/{staffed.patient_id}/report.pdf"):
        assert second.get(path).status_code == 409
    assert "my secret opinion" in first.get(f"/cells/{cell}").text


def staffed_seen(record: Record, cell_id: int) -> int:
    with record.db.reading() as session:
        return seen_ids(session, record.run_id, "first", [cell_id])[cell_id]
