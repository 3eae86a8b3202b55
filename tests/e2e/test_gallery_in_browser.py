"""A gallery of more than a thousand cells asks for the pictures that are looked at, and for no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from benchmarks.review_load import PASSWORD, fill
from tests.e2e.review_server import Server, Walk, needs_browser, serving

pytestmark = [pytest.mark.sqlite_only, needs_browser]
CELLS = 1200


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a slide of so many cells."""
    folder = tmp_path_factory.mktemp("many")
    record = fill(folder, CELLS, 2, 1)
    with serving(record, folder) as one:
        yield one


def test_a_thousand_cells_are_loaded_as_they_are_scrolled_to(many: Server, browser: Any) -> None:
    walk = Walk(browser, many.url)
    walk.log_in("reviewer0", PASSWORD)
    asked: list[int] = []
    walk.page.on("request", lambda r: "/pictures" in r.url and asked.append(len(parse_qs(urlsplit(r.url).query)["cells"][0].split(","))))
    walk.open("/slides/1?group=all")
    walk.page.wait_for_selector(".card canvas[data-painted]")
    walk.page.wait_for_timeout(500)
    assert walk.page.locator(".card").count() <= 100
    assert sum(asked) <= 60

    shown = walk.page.locator(".card").count()
    while shown < 1000:
        walk.page.locator(".card").last.scroll_into_view_if_needed()
        walk.page.wait_for_function("n => document.querySelectorAll('.card').length > n", arg=shown)
        shown = walk.page.locator(".card").count()
    cells = walk.page.locator(".card").evaluate_all("all => all.map(c => c.dataset.cell)")
    assert len(set(cells)) == len(cells) >= 1000
    last = walk.page.locator(f'.card[data-cell="{cells[-1]}"]')  # more may come after it meanwhile
    last.scroll_into_view_if_needed()
    last.locator("canvas[data-painted]").wait_for()
    assert walk.errors == []
