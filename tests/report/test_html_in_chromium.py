"""The pages in a real browser: no sideways scrolling on a phone, and paper on which nothing is cut."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from cacapp.report.html import render_html, render_index
from cacapp.report.patient_page import IndexRow, PatientReport

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH (apt-get install chromium)"),
]


def chromium(tmp_path: Path, *arguments: str) -> str:
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    flags = ["--headless", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}", *root]
    done = subprocess.run([str(CHROMIUM), *flags, *arguments], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def long_words(report: PatientReport) -> PatientReport:
    """The hardest page to fit: codes, names and errors without a space."""
    word = "x" * 90
    return replace(
        report,
        patient_code=word,
        verdict=word,
        failed_frames=tuple(replace(f, frame=word, error=word) for f in report.failed_frames),
        flagged=tuple(replace(c, slide=word, frame=word, review_reason=word) for c in report.flagged),
        slides=tuple(replace(s, barcode=word) for s in report.slides),
        result=replace(report.result, exclusions={word: 3}),
        files=tuple(replace(f, name=word) for f in report.files),
        frames=tuple(replace(f, slide=word) for f in report.frames),
    )


def test_no_page_scrolls_sideways_at_380_px(tmp_path: Path, report: PatientReport, long_words: PatientReport) -> None:
    index = render_index([IndexRow("P-0042", "P-0042.html", "katz-4color 2", "increased risk (Katz)", report.result)] * 3)
    pages = {"report": render_html(report), "long words": render_html(long_words), "index": index}
    # A frame of that width measures the page as it is: the script stands outside, the page allows none.
    frames = "".join(f'<iframe title="{name}" width=380 height=800 srcdoc="{html.escape(page)}"></iframe>' for name, page in pages.items())
    script = """<script>onload = () => { document.body.innerHTML = [...document.querySelectorAll('iframe')].map(f => {
        const e = f.contentDocument.documentElement;
        const images = [...f.contentDocument.images].filter(i => i.naturalWidth > 0);
        return `<p>${f.title}: ${e.scrollWidth} of ${e.clientWidth}, ${images.length} images</p>`;
    }).join('') }</script>"""
    path = tmp_path / "phone.html"
    path.write_text(f"<style>iframe {{ border: 0 }}</style>{frames}{script}", encoding="utf-8")
    dom = chromium(tmp_path, "--dump-dom", path.as_uri())
    measured = re.findall(r"<p>(.+?): (\d+) of (\d+), (\d+) images</p>", dom)
    assert [m[1:] for m in measured] == [("380", "380", "7"), ("380", "380", "7"), ("380", "380", "0")], measured


def test_it_prints_on_a4_with_every_picture(tmp_path: Path, report: PatientReport) -> None:
    source, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    source.write_text(render_html(report), encoding="utf-8")
    chromium(tmp_path, f"--print-to-pdf={pdf}", "--no-pdf-header-footer", source.as_uri())
    data = pdf.read_bytes()
    assert data.startswith(b"%PDF-")
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL)
    everything = data + b"".join(zlib.decompressobj().decompress(s) for s in streams if s[:1] == b"\x78")
    boxes = {tuple(round(float(v)) for v in box.split()) for box in re.findall(rb"/MediaBox\s*\[([^\]]+)\]", everything)}
    assert boxes == {(0, 0, 595, 842)}  # A4 in points
    assert len(re.findall(rb"/Subtype\s*/Image", everything)) >= 7
