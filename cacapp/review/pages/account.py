"""The account page, with password and tokens, and the audit page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from cacapp.db.engine.session import Database
from cacapp.db.review.accounts import accounts, tokens_of
from cacapp.db.review.readings import events
from cacapp.db.tables import now
from cacapp.exceptions import UsageError
from cacapp.review.authorisation import SESSION_COOKIE, Auditor, Viewer
from cacapp.review.blind import hidden_subjects
from cacapp.review.forms import MAX_ID, Word
from cacapp.review.render import page
from cacapp.review.routing import Route
from cacapp.steps.review.accounts import MAX_TOKEN_DAYS, TOKEN_DAYS, add_token, end_token, set_password, verify_password
from cacapp.steps.review.roles import DECIDE

router = APIRouter(include_in_schema=False, route_class=Route)
Password = Annotated[str, Form(max_length=1000)]
PAGE_SIZE = 100


@router.get("/account")
def show(request: Request, visitor: Viewer) -> HTMLResponse:
    """Show the visitor's account."""
    return _page(request, visitor, None, None)


def _page(request: Request, visitor: Viewer, problem: str | None, secret: str | None, status: int = 200) -> HTMLResponse:
    db: Database = request.app.state.db
    with db.reading() as session:
        tokens = tokens_of(session, visitor.account_id)
    return page(
        request,
        "account.html.j2",
        visitor,
        status=status,
        tokens=tokens,
        problem=problem,
        secret=secret,
        now=now(),
        may_decide=visitor.may(DECIDE),
    )


@router.post("/account/password")
def change_password(request: Request, visitor: Viewer, old: Password, new: Password) -> Response:
    """Set a new password; every session of the account ends."""
    db: Database = request.app.state.db
    if verify_password(db, visitor.name, old, visitor.address) is None:
        return _page(request, visitor, "The old password is wrong; nothing was changed.", None, 403)
    try:
        set_password(db, visitor.name, new, visitor.name, visitor.address)
    except UsageError as error:
        return _page(request, visitor, f"{str(error).capitalize()}.", None, 400)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(SESSION_COOKIE, path="/")
    return answer


@router.post("/account/tokens")
def new_token(
    request: Request,
    visitor: Viewer,
    label: Annotated[Word, Form(min_length=1)],
    days: Annotated[int, Form(ge=1, le=MAX_TOKEN_DAYS)] = TOKEN_DAYS,
    can_write: Annotated[bool, Form()] = False,
) -> Response:
    """Create an API token and show it once."""
    db: Database = request.app.state.db
    can_write = can_write and visitor.may(DECIDE)
    _, secret = add_token(db, visitor.name, label, visitor.name, days=days, can_write=can_write, address=visitor.address)
    return _page(request, visitor, None, secret)


@router.post("/account/tokens/revoke")
def revoke(request: Request, visitor: Viewer, token_id: Annotated[int, Form(ge=1, le=MAX_ID)]) -> Response:
    """Revoke one of the visitor's tokens."""
    db: Database = request.app.state.db
    end_token(db, visitor.name, token_id, visitor.name, visitor.address)
    return RedirectResponse("/account", 303)


@router.get("/audit")
def audit(request: Request, visitor: Auditor, before: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None) -> HTMLResponse:
    """Show the accounts, and the audit events from the newest."""
    db: Database = request.app.state.db
    with db.reading() as session:
        found = events(session, before_id=before, limit=PAGE_SIZE)
        people = accounts(session)
        hidden = hidden_subjects(session, visitor.name)
    return page(request, "audit.html.j2", visitor, events=found, hidden=hidden, accounts=people, more=len(found) == PAGE_SIZE)
