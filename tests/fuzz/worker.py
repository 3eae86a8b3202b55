"""Open damaged files one by one, in a process of its own that may crash. Read cases as JSON lines, write outcomes as JSON lines.

Run as ``python -m tests.fuzz.worker``; see run.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.bombs import LIKE

MEMORY_BYTES = 2 << 30


def limited() -> None:
    """No core files, no more than MEMORY_BYTES beyond what the process has now."""
    with Path("/proc/self/statm").open() as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, now + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def peak_mb(reset: bool = False) -> int:
    """The most memory held since the last reset, MB."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return 0


def read(folder: Path) -> tuple[dict[str, dict[str, str]], list[str], list[str]]:
    """What ingest and a run make of a folder: the digest of each channel's pixels by frame, refusals of ingest, failures of reading."""
    from cacapp.exceptions import CacappError
    from cacapp.frames import BadFile, discover, open_frame

    planes: dict[str, dict[str, str]] = {}
    refused, failed = [], []
    for item in discover([folder]):
        if isinstance(item, BadFile):
            refused.append(item.error)
            continue
        try:
            frame = open_frame(item)
            found = {}
            for name in frame.channel_names:
                plane = frame.channel(name)
                found[name] = hashlib.sha256(f"{plane.dtype.name} {plane.shape}".encode() + plane.tobytes()).hexdigest()
            planes[item.name] = found
        except CacappError as error:
            failed.append(str(error))
    return planes, refused, failed


def put(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, raw in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)


@cache
def planes_of_original(name: str) -> dict[str, dict[str, str]]:
    from tests.fuzz.originals import original

    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), original(name))
        planes, refused, failed = read(Path(folder))
    assert planes, (name, refused, failed)
    assert not refused + failed, (name, refused, failed)
    return planes


def files_of(case: dict[str, Any], marker: str) -> tuple[Mapping[str, bytes], str]:
    """A case's files, and the one that is damaged."""
    from tests.fuzz.bombs import bombs
    from tests.fuzz.mutations import mutated
    from tests.fuzz.originals import original

    if "bomb" in case:
        return bombs(marker)[case["bomb"]](), ""
    return mutated(original(case["original"]), case["kind"], random.Random(case["seed"]))


def pixels_alone(case: dict[str, Any], files: Mapping[str, bytes], hit: str, before: Any) -> bool:
    """Whether an accepted file differs from the original by the values of pixels that have no checksum, and by nothing else."""
    from tests.fuzz.originals import CHECKSUMMED, original
    from tests.fuzz.payload import only_pixels, with_pixels_of

    if "bomb" in case or case["original"] in CHECKSUMMED:
        return False
    was, now = original(case["original"])[hit], files[hit]
    if only_pixels(hit, was, now):
        return True
    if len(was) != len(now):
        return False
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), {**files, hit: with_pixels_of(hit, was, now)})
        return compared(before, read(Path(folder))[0]) in ("same", "reordered")


def judge(case: dict[str, Any], noise: Callable[[], str], began: Callable[[], None]) -> dict[str, Any]:
    """One case's outcome (refused, failed, same, reordered, declared, pixels, other, crash, ran), CPU time, memory and what was printed."""
    from tests.fuzz.originals import original
    from tests.fuzz.payload import only_photometric, only_predictor

    with tempfile.TemporaryDirectory() as folder:
        marker = f"{folder}.ran"
        files, hit = files_of(case, marker)
        like = case.get("original") or LIKE.get(case["bomb"].split()[0])
        before = planes_of_original(like) if like else {}
        put(Path(folder), files)
        peak_mb(reset=True)
        noise()
        began()
        start = time.process_time()
        try:
            planes, refused, failed = read(Path(folder))
        except Exception:
            planes, refused, failed = {}, [], []
            outcome, lines = "crash", [traceback.format_exc()]
        else:
            outcome, lines = compared(before, planes), refused + failed
            if not planes:
                outcome = "failed" if failed else "refused" if refused else "nothing"
        result = {**case, "outcome": outcome, "cpu_s": round(time.process_time() - start, 2), "peak_mb": peak_mb(), "lines": lines[:3]}
        result["noise"] = noise()[:300]
        if outcome == "other" and pixels_alone(case, files, hit, before):
            result["outcome"] = "pixels"
        elif outcome == "other" and hit.endswith(".tif"):
            was, now = original(case["original"])[hit], files[hit]
            if only_photometric(was, now) or only_predictor(was, now):
                result["outcome"] = "declared"
        if Path(marker).exists():
            Path(marker).unlink()
            result["outcome"] = "ran"
    return result


def compared(before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]) -> str:
    known = {digest for frame in before.values() for digest in frame.values()}
    if all(before.get(name) == frame for name, frame in after.items()):
        return "same"
    if all(len(set(frame.values())) == len(frame) and set(frame.values()) <= known for frame in after.values()):
        return "reordered"
    return "other"


def main() -> None:
    with os.fdopen(os.dup(1), "w", buffering=1) as out, tempfile.TemporaryFile() as heard:
        os.dup2(heard.fileno(), 1)
        os.dup2(heard.fileno(), 2)

        def noise() -> str:
            sys.stdout.flush()
            sys.stderr.flush()
            heard.seek(0)
            text = heard.read()
            heard.seek(0)
            heard.truncate()
            return text.decode(errors="replace")

        def tell(line: dict[str, Any]) -> None:
            print(json.dumps(line), file=out)

        for name in ("ome-tiff", "imagej-stack", "png-series", "ome-zarr-blosc", "ome-tiff-deflate", "ome-tiff-jpeg", "ome-tiff-zstd"):
            planes_of_original(name)  # libraries are loaded before memory is limited
        limited()
        tell({"ready": os.getpid()})
        for line in sys.stdin:
            tell(judge(json.loads(line), noise, lambda: tell({"began": True})))


if __name__ == "__main__":
    main()
