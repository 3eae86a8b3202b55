"""The API gives scripts what the pages give people, by token; whatever is sent, it never breaks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cacapp.db.review.accounts import make_token, require_account
from cacapp.review.api import router
from tests.review.conftest import BASE, Browser, Record

pytestmark = pytest.mark.sqlite_only


def token(record: Record, name: str, can_write: bool = False) -> dict[str, str]:
    with record.db.session() as session:
        account = require_account(session, name)
        assert account.id is not None
        return {"Authorization": f"Bearer {make_token(session, account.id, 'test', 1, can_write)[1]}"}


@pytest.fixture
def api(app: FastAPI, staffed: Record) -> TestClient:
    return TestClient(app, base_url=f"{BASE}/api/v1", headers=token(staffed, "reviewer", can_write=True))


def body(record: Record, kind: str, seen: int = 0, key: str = "0123456789", **more: object) -> dict[str, Any]:
    return {"kind": kind, "run_id": record.run_id, "seen": seen, "key": key, **more}


def test_a_patients_cac_counts_automatic_and_reviewed(api: TestClient, staffed: Record) -> None:
    (patient,) = api.get("/patients").json()["items"]
    assert (patient["code"], patient["state"], patient["cells_open"]) == ("P1", "analysed", 2)
    assert (patient["assay_name"], patient["assay_version"]) == ("katz-4color", "2")
    assert (patient["automatic"]["cacs"], patient["reviewed"], patient["automatic"]["blood_volume_ul"]) == (2, None, 100.0)
    cell = staffed.flagged()[0].cell_id
    answer = api.post(f"/cells/{cell}/reviews", json=body(staffed, "class", **{"class": "normal"})).json()
    assert (answer["reviewed"]["class"], answer["repeated"]) == ("normal", False)
    patient = api.get(f"/patients/{staffed.patient_id}").json()
    assert (patient["automatic"]["cacs"], patient["reviewed"]["cacs"], patient["reviewed"]["cacs_per_100ul"]) == (2, 1, 1.0)


PAGE = Path(__file__).parents[2] / "docs" / "review.md"


def test_the_decision_in_the_docs_is_taken_and_answered_as_written(api: TestClient, staffed: Record) -> None:
    sent, expected = (json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S))
    cell = api.get(f"/cells/{expected['review']['cell_id']}").json()
    assert (sent["run_id"], sent["seen"]) == (cell["count_run"], cell["seen"])
    given = api.post(f"/cells/{cell['id']}/reviews", json=sent).json()
    expected["review"] |= {name: given["review"][name] for name in ("created_at", "reviewer")}
    assert given == expected
    assert api.get(f"/cells/{cell['id']}").json()["reviews"] == [expected["review"]]


def test_lists_come_in_pages(api: TestClient, staffed: Record) -> None:
    seen, start = [], 0
    while start is not None:
        page = api.get(f"/slides/{staffed.slide_id}/cells", params={"group": "all", "start": start, "limit": 7}).json()
        seen += [c["id"] for c in page["items"]]
        start = page["next"]
    assert sorted(seen) == [c.cell_id for c in staffed.cells]
    assert page["total"] == len(seen)


def test_a_cell_tells_its_dots_and_what_to_send_along(api: TestClient, staffed: Record) -> None:
    cell = api.get(f"/cells/{staffed.flagged()[0].cell_id}").json()
    for channel, n in cell["automatic"]["counts"].items():
        assert sum(s["channel"] == channel and s["counts"] for s in cell["signals"]) == n
    first = api.post(f"/cells/{cell['id']}/reviews", json=body(staffed, "accept", cell["seen"]))
    again = api.post(f"/cells/{cell['id']}/reviews", json=body(staffed, "accept", cell["seen"]))
    assert (first.json()["repeated"], again.json()["repeated"]) == (False, True)
    assert api.post(f"/cells/{cell['id']}/reviews", json=body(staffed, "accept", cell["seen"], "other-key-1")).status_code == 409
    cell = api.get(f"/cells/{cell['id']}").json()
    assert [(r["kind"], r["reviewer"]) for r in cell["reviews"]] == [("accept", "reviewer")]
    assert cell["seen"] == cell["reviews"][0]["id"] == api.get(f"/slides/{staffed.slide_id}/reviews").json()[0]["id"]


def test_a_crop_is_the_reports_picture(api: TestClient, staffed: Record) -> None:
    cell = staffed.flagged()[0].cell_id
    for channel in ("composite", "red"):
        answer = api.get(f"/cells/{cell}/crop.webp", params={"channel": channel, "side_px": 120})
        image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (120, 120, 3)
    assert api.get(f"/cells/{cell}/crop.webp", params={"channel": "violet"}).status_code == 422


def test_a_token_reads_unless_it_was_made_to_write_and_ends_when_revoked(
    app: FastAPI, staffed: Record, visit: Callable[..., Browser]
) -> None:
    browser = visit("reviewer")
    page = browser.submit("/account/tokens", label="notebook", days=3).text
    found = re.search(r'<code class="secret">([^<]+)</code>', page)
    assert found is not None
    assert found[1] not in browser.get("/account").text
    client = TestClient(app, base_url=f"{BASE}/api/v1", headers={"Authorization": f"Bearer {found[1]}"})
    assert client.get("/patients").status_code == 200
    cell = staffed.flagged()[0].cell_id
    assert client.post(f"/cells/{cell}/reviews", json=body(staffed, "accept")).status_code == 403
    number = re.search(r'name="token_id" value="(\d+)"', browser.get("/account").text)
    assert number is not None
    other = visit("second")
    assert other.submit("/account/tokens/revoke", token_id=number[1]).status_code == 422
    assert client.get("/patients").status_code == 200
    browser.submit("/account/tokens/revoke", token_id=number[1])
    assert client.get("/patients").status_code == 401


def test_a_session_cookie_is_no_token(visit: Callable[..., Browser]) -> None:
    answer = visit("pathologist").get("/api/v1/patients")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.slow
@pytest.mark.slow
def test_any_request_gets_an_answer_that_the_api_description_lists(app: FastAPI, staffed: Record) -> None:
    import schemathesis  # takes longer to import than all of cacapp
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

    headers = token(staffed, "reviewer", can_write=True) | {"Host": "localhost"}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers={"Host": "localhost"})
    checks = [not_a_server_error, status_code_conformance, response_schema_conformance]
    ids = {"patient_id": staffed.patient_id, "slide_id": staffed.slide_id, "cell_id": staffed.cells[0].cell_id}
    tried: list[str] = []
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(), real=st.booleans())
        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def holds(case: Any, real: bool) -> None:
            if real:  # ids of the record, or most answers would be 404
                case.path_parameters = {name: ids[name] for name in case.path_parameters or {}}
            case.call_and_validate(headers=headers, checks=checks)

        holds()
        tried.append(operation.label)
    assert len(tried) == len(router.routes)
