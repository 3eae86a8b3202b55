"""The patient's page: every number is there, everything is escaped, nothing is fetched, and no sentence claims more than the count."""

from __future__ import annotations

import base64
import re
from dataclasses import fields, replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from cacapp.report.html import render_html
from cacapp.report.patient_page import PatientReport
from cacapp.report.pictured import FlaggedCell, by_urgency
from cacapp.report.result import VerdictWords

FORBIDDEN = re.compile(r"tumou?r|malignan|diagnos|cancer cell|patient has|metasta|carcinoma", re.IGNORECASE)
VOID = {"meta", "img", "br", "link", "rect", "hr", "input"}


class Page(HTMLParser):
    """Text, elements and attributes of a page; fails on elements that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.parts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.parts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [attrs for tag, attrs in self.elements if tag in tags]


def text_of(report: PatientReport) -> str:
    return Page(render_html(report)).text


def test_every_number_of_the_result_is_on_the_page(report: PatientReport) -> None:
    text = text_of(report)
    for shown in ("12,877", "11,903", "10,995", "811", "91", "633", "341", "147.5 µL", "4.07", "1.49–8.85", "57", "of 23, 2 failed"):
        assert shown in text, shown
    assert "2 without balanced polyploid" in text  # 6 CACs, 4 of them balanced polyploid


def test_the_verdict_comes_first_with_its_criteria_and_denominators(report: PatientReport) -> None:
    text = text_of(report)
    verdict = text.index("increased risk (Katz)", text.index("Verdict"))
    assert (
        text.index("Research use only") < verdict < text.index("Cell classes") < text.index("Signal patterns") < text.index("Flagged cells")
    )
    for said in (
        "6 CACs among 11,903 evaluable cells of 12,877 found",
        "on slides made from 147.5 µL of blood: 4.07 CACs per 100 µL (95 % exact Poisson interval 1.49–8.85)",
        "3 or more CACs per 100 µL, at least 250 evaluable cells",
        "consistent with",
        "verdict would be “below the threshold of 3”",
        "The interval includes the threshold of 3",
    ):
        assert said in text, said


def test_shares_are_of_the_denominator_that_is_named(report: PatientReport) -> None:
    text = text_of(report)
    assert "loss 811 6.8 %" in text  # of 11,903 evaluable
    assert "CAC 6 0.05 %" in text
    assert "touches edge 633 4.9 %" in text  # of 12,877 found


def test_every_flagged_cell_is_there_cac_candidates_first(report: PatientReport) -> None:
    text = text_of(report)
    assert text.index("slide S-01, frame pos-003, cell 12") < text.index("hybridisation failure?")
    for said in ("3-3-3-3", "balanced polyploid", "margin 0.37", "101.2 µm²", "two signals nearly touch", "2-0-2-2", "pos-019", "3,190"):
        assert said in text, said


def test_a_cap_on_pictures_is_reported(report: PatientReport) -> None:
    assert "Pictures are given for the first 1 of 2" in text_of(report)
    assert "Overviews are given for 1 of 2 frames" in text_of(report)
    whole = replace(report, flagged=tuple(c for c in report.flagged if c.pictures), frames=report.frames[:1])
    assert "so that this file stays small" not in text_of(whole)


def test_provenance_names_files_plugins_parameters_and_assay(report: PatientReport) -> None:
    text = text_of(report)
    for said in ("0f" * 32, "ab" * 32, "cd" * 32, "star-convex", "cacapp-stars 2.3.1", "min_area_um2 = 23.5", "projection = max", "seed 5"):
        assert said in text, said
    for said in (
        "katz-4color, version 1.2",
        "Confirm the loci against your kit",
        "CEP10",
        "10q22.3",
        "ends after 3 of 5 planes",
        "0.1.7",
        "read by tiff",
    ):
        assert said in text, said


def test_the_contrast_limits_are_printed(report: PatientReport) -> None:
    text = text_of(report)
    for low, high in report.contrast[0].limits.values():
        assert f"{low:,.0f}–{high:,.0f}" in text
    assert report.contrast[0].rule in text


@pytest.mark.parametrize(
    ("verdict", "volume", "evaluable", "said"),
    [
        ("undetermined", None, 11_903, "volume of blood on the slides is unknown"),
        ("insufficient", 147.5, 88, "88 evaluable cells, fewer than the 250 the assay asks for"),
        ("not increased (Katz)", 147.5, 11_903, "Katz's criterion is not met"),
    ],
)
def test_missing_numbers_are_explained_in_words(
    report: PatientReport, verdict: str, volume: float | None, evaluable: int, said: str
) -> None:
    rate = None if volume is None else 4.07
    numbers = replace(
        report.result,
        blood_volume_ul=volume,
        evaluable=evaluable,
        cacs_per_100ul=rate,
        cacs_per_100ul_low=None if rate is None else 1.49,
        cacs_per_100ul_high=None if rate is None else 8.85,
    )
    text = text_of(replace(report, verdict=verdict, result=numbers))
    assert said in text
    assert "2 of 23 frames failed; the numbers rest on the other 21" in text
    assert "None" not in text
    assert ("volume unknown" in text) == (volume is None)
    assert not FORBIDDEN.search(text)


def test_an_assay_may_have_verdict_words_of_its_own(report: PatientReport) -> None:
    words = VerdictWords(increased="at or above the limit")
    html = render_html(replace(report, verdict="at or above the limit", criteria=replace(report.criteria, verdicts=words)))
    assert 'class="verdict raised"' in html
    assert "consistent with an increased risk" in Page(html).text
    assert 'class="verdict open"' in render_html(replace(report, verdict="a word from nowhere"))


def test_a_patient_without_any_cell_still_gets_a_page(report: PatientReport) -> None:
    nothing = replace(
        report.result,
        **dict.fromkeys(("cells", "evaluable", "cacs", "cacs_balanced_polyploid", "needs_review", "frames", "frames_failed"), 0),
        classes={},
        exclusions={},
    )
    empty: dict[str, Any] = {f.name: () for f in fields(report) if isinstance(getattr(report, f.name), tuple)}
    text = text_of(replace(report, verdict="insufficient", result=nothing, **empty))
    assert "0 evaluable cells, fewer than the 250" in text
    assert "No cell was flagged" in text


def test_no_sentence_claims_more_than_the_count(report: PatientReport) -> None:
    html = render_html(report)
    assert not FORBIDDEN.search(re.sub(r"base64,[^\"]*", "", html))
    assert "research use only" in html.lower()


def test_markup_in_any_text_stays_text(report: PatientReport) -> None:
    evil = "</style><script>alert('x')</script>\"><img src=x onerror=alert(1)>{{ 7*7 }}"
    cells = tuple(
        replace(c, slide=evil, frame=evil, review_reason=evil, class_name=evil, subtype=evil, counts={evil: 2}) for c in report.flagged
    )
    bad = replace(
        report,
        patient_code=evil,
        verdict=evil,
        app_version=evil,
        flagged=cells,
        failed_frames=tuple(replace(f, error=evil) for f in report.failed_frames),
        files=tuple(replace(f, name=evil, uri=evil) for f in report.files),
        slides=tuple(replace(s, barcode=evil) for s in report.slides),
        provenance=tuple(replace(r, params={evil: evil}) for r in report.provenance),
        result=replace(report.result, classes={evil: 3}, exclusions={evil: 4}),
    )
    page = Page(render_html(bad))
    assert page.all("script") == []
    assert len(page.all("style")) == 1
    assert len(page.all("img")) == len(Page(render_html(report)).all("img"))
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert evil in page.text


def test_the_page_is_one_file_that_fetches_nothing(report: PatientReport) -> None:
    html = render_html(report)
    page = Page(html)
    assert page.all("script", "link", "iframe", "object") == []
    assert all(img["src"].startswith("data:image/") for img in page.all("img"))
    assert all(a["href"].startswith("#") for a in page.all("a"))
    assert not re.search(r"url\(|@import|(src|href)\s*=\s*[\"']?\s*(https?:|//)", html)
    assert "default-src 'none'" in next(m["content"] for m in page.all("meta") if "http-equiv" in m)


def test_pictures_decode_and_say_what_they_show(report: PatientReport) -> None:
    pictures = Page(render_html(report)).all("img")
    assert len(pictures) == 7  # composite, five channels, one overview
    for img in pictures:
        data = np.frombuffer(base64.b64decode(img["src"].partition(",")[2]), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape[:2] == (int(img["height"]), int(img["width"]))
    assert "slide S-01, frame pos-003, cell 12, aqua: 3 signals" in [img["alt"] for img in pictures]
    assert len({img["alt"] for img in pictures}) == 7


def test_headings_are_in_order_and_ids_are_unique(report: PatientReport) -> None:
    page = Page(render_html(report))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a} <= set(ids)


def test_the_least_certain_cells_come_first_in_each_group() -> None:
    def cell(cell_id: int, is_cac: bool, margin: float | None) -> FlaggedCell:
        return FlaggedCell(cell_id, "S", "f", cell_id, 0, 0, None, None, is_cac, {}, True, margin=margin)

    cells = [cell(1, False, 0.1), cell(2, True, None), cell(3, True, 2.0), cell(4, True, 0.5), cell(5, False, 0.0)]
    assert [c.cell_id for c in by_urgency(cells)] == [4, 3, 2, 5, 1]
