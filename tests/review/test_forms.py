"""Whatever a request carries, the answer says what is wrong with it; it is never the server's fault."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cacapp.review import api
from cacapp.review.app import PAGES
from tests.review.conftest import Shared

pytestmark = pytest.mark.sqlite_only
ROUTES = sorted(
    {("" if module is not api else "/api/v1", r.path, next(iter(r.methods))) for module in (*PAGES, api) for r in module.router.routes}
)
LEFT_OUT = {"/events", "/logout", "/patients/{patient_id}/report", "/patients/{patient_id}/report.pdf"}
"""A stream without an end, the end of the session, and what child processes build."""

NAMES = (
    *("channels", "group", "start", "limit", "search", "q", "state", "run", "cells", "v", "after", "before", "cell", "channel", "side_px"),
    *("then", "look", "pdf", "next", "name", "password", "csrf_token", "old", "new", "label", "days", "can_write", "token_id", "run_id"),
    *("seen", "comment", "sign_off_id", "reason", "review_id", "kind", "key", "class", "y_px", "x_px", "number", "added", "into"),
)
VALUES = st.one_of(
    st.sampled_from(["", "0", "1", "-1", "1e999", "nan", "9" * 30, "\x00", "\ud800", ",", ",,", "DAPI,", "DAPI,DAPI", "true", "[]", "{}"]),
    st.text(max_size=20),
    st.integers().map(str),
)
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6)
TYPES = st.sampled_from(
    [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=klingon",
        "application/x-www-form-urlencoded; charset=utf-16",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=x; charset=klingon",
        "multipart/form-data; boundary=" + "x" * 200,
        "application/json",
        "application/json; charset=klingon",
        "application/json; charset=utf-7",
        "text/plain",
        "klingon",
        "/",
        ";;;",
        "",
    ]
)
MULTIPART = b'--x\r\nContent-Disposition: form-data; name="label"\r\nContent-Type: text/plain; charset=klingon\r\n\r\n\xff\xfe\r\n--x--\r\n'
BODIES = st.one_of(
    st.binary(max_size=60),
    FIELDS.map(lambda fields: "&".join(f"{n}={quote(v, errors='surrogatepass')}" for n, v in fields).encode()),
    st.sampled_from(
        [b"", b"null", b"[]", b"{}", b'{"kind": "accept"}', b"\xff", b"[" * 5000, MULTIPART, MULTIPART[:40], b"%zz=%", b"=&=&;"]
    ),
)
PARTS = st.one_of(st.sampled_from(["1", "2", "4", "0", "-1", "x", "%00", "%ff", "9" * 25]), st.integers(-9, 2**70).map(str))


def address(path: str, data: st.DataObject, real: dict[str, Any]) -> str:
    """The path with ids of the record, or with something else in their place."""
    for name in real:
        path = path.replace("{" + name + "}", str(real[name]) if data.draw(st.booleans()) else data.draw(PARTS))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("prefix", "path", "method"), ROUTES)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_no_request_is_the_servers_fault(shared: Shared, prefix: str, path: str, method: str, data: st.DataObject) -> None:
    if path in LEFT_OUT:
        return
    record, browser = shared.record, shared.browser("pathologist")
    real = {"patient_id": record.patient_id, "slide_id": record.slide_id, "cell_id": record.cells[0].cell_id}
    real |= {"frame_id": record.cells[0].frame_id, "zoom": 0, "column": 0, "row": 0, "name": "review.css", "token": "x"}
    query = "&".join(f"{n}={quote(v, errors='surrogatepass')}" for n, v in data.draw(FIELDS))
    headers = {"Content-Type": data.draw(TYPES), "Accept": data.draw(st.sampled_from(["text/html", "*/*"]))}
    if prefix:
        headers |= shared.token("pathologist")
    elif data.draw(st.booleans()):
        headers["X-CSRF-Token"] = shared.csrf("pathologist")
    content = data.draw(BODIES) if method == "POST" else None
    answer = browser.request(method, f"{prefix}{address(path, data, real)}?{query}", headers=headers, content=content)
    assert answer.status_code < 500 or "in use by another" in answer.text, (answer.request.url, answer.text)


def test_a_tile_without_channels_is_refused(shared: Shared) -> None:
    frame = shared.record.cells[0].frame_id
    for given_ in ("", ",", ",,"):
        answer = shared.browser("viewer").get(f"/frames/{frame}/tiles/0/0/0.webp?channels={given_}")
        assert (answer.status_code, "name one at least" in answer.text) == (422, True)


@pytest.mark.parametrize("path", ["/logout", "/login", "/slides/1/second", "/account/tokens"])
def test_a_form_in_an_unknown_charset_is_refused(shared: Shared, path: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x; charset=klingon"}
    assert shared.browser("viewer").post(path, content=MULTIPART, headers=headers).status_code in (400, 403, 422)
