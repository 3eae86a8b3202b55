"""Routes of the review server: each runs in the lane of its kind of work, and answers only while its visitor is admitted."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlmodel import Session

from cacapp.db.engine.session import Database
from cacapp.review.authorisation import SAFE, Visitor, address_of, require_admitted, require_admitted_to_write
from cacapp.review.lanes import Lane

CHECK_AFTER_S = 0.25
"""An answer that took longer is given only if the visitor is still admitted."""

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def draws(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that reads frames' files: it runs in the lane for pictures."""
    endpoint.lane = "draw"  # type: ignore[attr-defined]
    return endpoint


def writes(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that is asked by GET and writes all the same."""
    endpoint.lane = "write"  # type: ignore[attr-defined]
    return endpoint


class Route(APIRoute):
    """A route whose plain endpoint runs in a lane: as marked, "write" for POST, else "read". In any other than "write" a write is an error.

    An endpoint that writes does so only in transactions that begin with a check of its visitor.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not iscoroutinefunction(endpoint):
            changes = bool(set(options.get("methods") or ("GET",)) - set(SAFE))
            endpoint = _in_lane(endpoint, "write" if changes else getattr(endpoint, "lane", "read"))
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def handler(request: Request) -> Response:
            started = time.monotonic()
            response = await answer(request)
            if time.monotonic() - started > CHECK_AFTER_S:
                await check_admitted(request)
            return response

        return handler


async def check_admitted(request: Request) -> None:
    """Raise NotLoggedIn if the visitor of the request, if it has one, is not admitted any more."""
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    if visitor is not None:
        await _lane(request, "admission").run(visitor.address, partial(_check, request, visitor))


async def in_lane(request: Request, visitor: Visitor, name: str, work: Callable[[], Any]) -> Any:
    """Do work of a request in a lane; it may read the database only."""
    db: Database = request.app.state.db
    return await _lane(request, name).run(visitor.name, partial(_checked, db, _refuse_to_write, work))


def _check(request: Request, visitor: Visitor) -> None:
    db: Database = request.app.state.db
    with db.reading() as session:
        require_admitted(session, request.app.state.settings, visitor)


def _in_lane(endpoint: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(endpoint)
    async def run(**values: Any) -> Any:
        request: Request = values["request"]
        visitor: Visitor | None = values.get("visitor")
        db: Database = request.app.state.db
        work = partial(endpoint, **values)
        if name != "write":
            work = partial(_checked, db, _refuse_to_write, work)
        elif visitor is not None:
            work = partial(_checked, db, partial(require_admitted_to_write, settings=request.app.state.settings, visitor=visitor), work)
        return await _lane(request, name).run(address_of(request) if visitor is None else visitor.name, work)

    return run


def _checked(db: Database, check: Callable[[Session], None], work: Callable[[], Any]) -> Any:
    with db.checked(check):
        return work()


def _refuse_to_write(_session: Session) -> None:
    raise RuntimeError("a request that reads must not write: it would wait for other writers")


def _lane(request: Request, name: str) -> Lane:
    lane: Lane = request.app.state.lanes[name]
    return lane
