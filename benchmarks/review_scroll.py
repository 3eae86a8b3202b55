"""Benchmark of scrolling: a gallery of a thousand cells in Chromium, scrolled with a mouse wheel.

Twice: while the pictures are drawn (cold), and when they are in the cache (warm). Prints the time between frames, long tasks (over 50 ms,
in which the page does not respond) and the number of pictures requested before the first scroll. Run it on an idle machine:

    python benchmarks/review_scroll.py --cells 1000
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.review_load import PASSWORD, fill, server

WATCH = """
window.frames_ = []; window.tasks_ = [];
new PerformanceObserver((list) => { for (const e of list.getEntries()) window.tasks_.push(e.duration); }).observe({ type: 'longtask' });
let before = performance.now();
const tick = (now) => { window.frames_.push(now - before); before = now; requestAnimationFrame(tick); };
requestAnimationFrame(tick);
"""
TURN_PX, PAUSE_MS = 100, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000, help="cells to scroll through")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        db = fill(folder, asked.cells + 100, max(1, (asked.cells + 100) // 500), 1)
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=root)
        with server(folder, db) as url:
            late = "".join(f"{name:>7}" for name in ("95 %", "99 %", "worst"))
            print(f"{'':<6}{'cells':>7}{'before scrolling':>18}{'frame ms':>10}{late}{'long tasks':>12}{'longest ms':>12}")
            for kind in ("cold", "warm"):
                print(f"{kind:<6}{scrolled(browser, url, asked.cells)}")
        browser.close()


def scrolled(browser: Any, url: str, cells: int) -> str:
    """Scroll through the gallery once; return its figures as a line."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(url)
    page.fill("[name=name]", "reviewer0")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#worklist")
    asked: list[int] = []
    page.on("request", lambda r: "/pictures" in r.url and asked.append(r.url.split("cells=")[1].split("&")[0].count(",") + 1))
    page.goto(f"{url}/slides/1?group=all")
    page.wait_for_selector(".card canvas[data-painted]")
    page.wait_for_timeout(1000)
    at_rest = sum(asked)
    page.evaluate(WATCH)
    page.mouse.move(700, 600)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        page.mouse.wheel(0, TURN_PX)
        page.wait_for_timeout(PAUSE_MS)
        shown, end = page.evaluate("[document.querySelectorAll('.card').length, scrollY + innerHeight >= document.body.scrollHeight - 5]")
        if shown >= cells and end:
            break
    frames, tasks = page.evaluate("[window.frames_, window.tasks_]")
    page.context.close()
    ordered = sorted(frames)
    late = [ordered[int(share * (len(ordered) - 1))] for share in (0.95, 0.99, 1)]
    return (
        f"{shown:>7}{at_rest:>18}{statistics.median(frames):>10.1f}{late[0]:>7.0f}{late[1]:>7.0f}{late[2]:>7.0f}"
        f"{len(tasks):>12}{max(tasks, default=0):>12.0f}"
    )


if __name__ == "__main__":
    main()
