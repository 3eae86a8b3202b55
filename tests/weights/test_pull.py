"""Downloads against a real server: they go on where they stopped and keep only the published file."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from cacapp.exceptions import CacappError, UsageError
from cacapp.weights import cache
from cacapp.weights.pull import pull
from cacapp.weights.registry import Entry, find


class Meter:
    """Sums the bytes it is given."""

    def __init__(self) -> None:
        self.starts: list[tuple[str, int | None, int]] = []
        self.bytes = 0

    def start(self, what: str, total_bytes: int | None, done_bytes: int = 0) -> None:
        self.starts.append((what, total_bytes, done_bytes))
        if what.endswith(".pth") and " " not in what:
            self.bytes = done_bytes

    def advance(self, by_bytes: int) -> None:
        if " " not in self.starts[-1][0]:
            self.bytes += by_bytes


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} if folder.exists() else set()


@pytest.fixture
def part(small: Entry, folder: Path) -> Path:
    """Where an unfinished download lies, in a folder that is there."""
    folder.mkdir(parents=True)
    return folder / "small_01ab23.pth.part"


def test_a_pulled_file_is_whole_recorded_and_alone(small: Entry, folder: Path, payload: bytes, digest: str) -> None:
    meter = Meter()
    path = pull(small, meter)
    assert path == folder / "small_01ab23.pth"
    assert path.read_bytes() == payload
    assert cache.digest_of("small") == digest
    assert names(folder) == {"small_01ab23.pth", "small_01ab23.pth.json"}
    assert (meter.starts[0], meter.bytes) == (("small_01ab23.pth", 700_001, 0), 700_001)


def test_a_complete_file_is_not_downloaded_again(small: Entry, source) -> None:
    pull(small)
    pull(small)
    assert len(source.ranges) == 1


def test_a_part_is_resumed_and_only_the_rest_is_sent(small: Entry, source, part: Path, payload: bytes) -> None:
    part.write_bytes(payload[:300_000])
    meter = Meter()
    assert pull(small, meter).read_bytes() == payload
    assert source.ranges == ["bytes=300000-"]
    assert (meter.starts[0], meter.bytes) == (("small_01ab23.pth", 700_001, 300_000), 700_001)


def test_a_server_that_ignores_range_starts_the_file_anew(small: Entry, source, part: Path, payload: bytes) -> None:
    source.honours_range = False
    part.write_bytes(b"x" * 300_000)
    assert pull(small).read_bytes() == payload
    assert source.ranges == ["bytes=300000-"]


def test_a_response_that_starts_at_another_byte_than_requested_is_rejected(small: Entry, source, part: Path, payload: bytes) -> None:
    source.shift = 7
    part.write_bytes(payload[:300_000])
    assert pull(small).read_bytes() == payload
    assert source.ranges == ["bytes=300000-", None]


@pytest.mark.parametrize("tells_length", [True, False], ids=["length stated", "length not stated"])
def test_a_cut_connection_is_resumed_automatically(small: Entry, source, payload: bytes, tells_length: bool) -> None:
    source.cuts_after, source.tells_length = [350_000, 200_000], tells_length
    assert pull(small, pause_s=0).read_bytes() == payload
    assert source.ranges[0] is None
    starts = [int(str(r)[6:-1]) for r in source.ranges[1:]]
    assert len(starts) == 2
    assert 0 < starts[0] <= 350_000 < starts[1] <= 550_000


def test_a_server_that_keeps_cutting_is_given_up_and_the_next_pull_resumes(small: Entry, source, folder: Path, payload: bytes) -> None:
    source.cuts_after = [350_000, 0, 0]
    with pytest.raises(CacappError, match=r"cut after [\d,]+ of 700,001 bytes; [\d,]+ bytes are kept, the same command goes on from there"):
        pull(small, tries=3, pause_s=0)
    kept = (folder / "small_01ab23.pth.part").stat().st_size
    assert 0 < kept <= 350_000
    assert names(folder) == {"small_01ab23.pth.part"}
    assert cache.where(small) == "partly here"
    assert pull(small).read_bytes() == payload
    assert source.ranges[-1] == f"bytes={kept}-"


def test_a_busy_server_is_asked_again(small: Entry, source, payload: bytes) -> None:
    source.statuses = [503, 429]
    assert pull(small, pause_s=0).read_bytes() == payload


@pytest.mark.parametrize("resumed", [False, True], ids=["at once", "resumed"])
def test_wrong_bytes_are_refused_and_not_kept(small: Entry, source, folder: Path, part: Path, resumed: bool) -> None:
    source.payload = b"y" * 700_001
    if resumed:
        part.write_bytes(b"y" * 1000)
    found = hashlib.sha256(source.payload).hexdigest()
    with pytest.raises(CacappError, match=f"is not small_01ab23.pth: .* expected {small.sha256} but got {found}; it was not kept"):
        pull(small)
    assert names(folder) == set()


def test_a_file_of_another_size_is_refused_before_it_is_sent(small: Entry, source, folder: Path) -> None:
    source.payload = b"<html>please log in</html>"
    with pytest.raises(CacappError, match=r"is not small_01ab23.pth: 26 bytes instead of 700,001; or bring"):
        pull(small)
    assert names(folder) == set()


def test_a_log_in_page_costs_nothing_of_what_has_come(small: Entry, source, part: Path, payload: bytes) -> None:
    source.payload, source.honours_range = b"<html>please log in</html>", False
    part.write_bytes(payload[:300_000])
    with pytest.raises(CacappError, match="26 bytes instead of"):
        pull(small)
    assert part.read_bytes() == payload[:300_000]


def test_an_endless_file_is_stopped(small: Entry, source, folder: Path) -> None:
    source.payload, source.tells_length = b"y" * 2_000_000, False
    with pytest.raises(CacappError, match="more than 700,001 bytes"):
        pull(small)
    assert names(folder) == set()


def test_a_part_longer_than_the_file_is_begun_anew(small: Entry, source, part: Path, payload: bytes) -> None:
    part.write_bytes(b"x" * 800_000)
    assert pull(small).read_bytes() == payload
    assert source.ranges == ["bytes=800000-", None]


def test_a_complete_part_is_checked_without_a_download(small: Entry, source, part: Path, payload: bytes) -> None:
    part.write_bytes(payload)
    assert pull(small).read_bytes() == payload
    assert source.ranges == []


def test_without_a_known_size_a_complete_part_is_recognised_by_the_server(small: Entry, source, part: Path, payload: bytes) -> None:
    part.write_bytes(payload)
    assert pull(small.model_copy(update={"size_bytes": None})).read_bytes() == payload
    assert source.ranges == ["bytes=700001-"]


def test_a_missing_file_is_reported_with_the_way_out(small: Entry, source, folder: Path) -> None:
    source.statuses = [404]
    with pytest.raises(CacappError, match=r"not found \(404\), the source has moved; or bring small_01ab23.pth"):
        pull(small)
    assert names(folder) == set()


def test_a_forbidden_file_is_reported(small: Entry, source) -> None:
    source.statuses = [403]
    with pytest.raises(CacappError, match="the server answers 403 Forbidden"):
        pull(small)


def test_no_network_is_one_line_and_keeps_what_came(small: Entry, part: Path, payload: bytes) -> None:
    part.write_bytes(payload[:1000])
    closed = small.model_copy(update={"url": "http://127.0.0.1:9/small_01ab23.pth"})
    with pytest.raises(CacappError, match=r"no connection \(Connection refused\); 1,000 bytes are kept, or bring") as caught:
        pull(closed)
    assert "\n" not in str(caught.value)
    assert part.read_bytes() == payload[:1000]


def test_a_file_larger_than_the_disk_is_refused_before_it_is_sent(small: Entry, source, folder: Path) -> None:
    source.claims_bytes = 10**17
    with pytest.raises(CacappError, match=r"100,000,000,000,000,000 bytes are needed, [\d,]+ are free"):
        pull(small.model_copy(update={"size_bytes": None}))
    assert names(folder) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_disk_that_fills_up_is_reported(small: Entry, part: Path) -> None:
    part.symlink_to("/dev/full")
    with pytest.raises(CacappError, match=r"\.part: the disk is full; make room, or name another folder with CACAPP_WEIGHTS"):
        pull(small)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
def test_two_pulls_do_not_write_into_one_file(small: Entry, part: Path) -> None:
    import fcntl

    with part.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(CacappError, match="are being pulled already"):
            pull(small)
    assert part.exists()


def test_embedded_weights_are_not_pulled(small: Entry) -> None:
    with pytest.raises(UsageError, match="weights 'own' come with cacapp"):
        pull(find("own"))
