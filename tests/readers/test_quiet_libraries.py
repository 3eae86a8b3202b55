"""Messages of image libraries and drivers of object stores are kept off the console, and only while these work."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator

import pytest

from cacapp.frames.remote import DRIVERS
from cacapp.readers.quiet_libraries import quiet_libraries


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Levels and filters are after a test what they were before it."""
    names = ("fsspec", "gcsfs", "tifffile", "tifffile.other")
    before = [logging.getLogger(name).level for name in names], list(warnings.filters)
    yield
    assert ([logging.getLogger(name).level for name in names], list(warnings.filters)) == before


@pytest.mark.parametrize("scheme", DRIVERS)
def test_log_messages_of_a_driver_are_not_printed(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    """gcsfs, for one, logs a traceback when it gives up; the one line that follows says it."""
    from fsspec.registry import known_implementations

    known = known_implementations.get(scheme, known_implementations["abfs"])  # abfss comes with its driver
    driver = known["class"].split(".")[0]
    with quiet_libraries():
        logging.getLogger(driver).error("out of retries")
        logging.getLogger(f"{driver}.retry").error("out of retries")
    assert caplog.records == []
    logging.getLogger(driver).error("heard again")
    assert [r.message for r in caplog.records] == ["heard again"]


def test_a_library_that_sets_its_own_level_meanwhile_is_silent_too(caplog: pytest.LogCaptureFixture) -> None:
    """As one does that is imported by the first use; what it set is what it has afterwards."""
    late = logging.getLogger("tifffile.other")
    with quiet_libraries():
        late.setLevel(logging.DEBUG)
        with quiet_libraries():
            late.error("not heard")
    assert caplog.records == []
    assert late.level == logging.DEBUG
    late.setLevel(logging.NOTSET)


def test_warnings_come_back_with_the_last_thread() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def other() -> None:
        with quiet_libraries():
            entered.set()
            go_on.wait(10)

    thread = threading.Thread(target=other)
    with quiet_libraries():
        thread.start()
        assert entered.wait(10)
    with warnings.catch_warnings(record=True) as heard:
        warnings.warn("while another thread reads", stacklevel=1)
    assert heard == []
    go_on.set()
    thread.join()
    with pytest.warns(UserWarning, match="after it"):
        warnings.warn("after it", stacklevel=1)


def test_threads_that_come_and_go_leave_everything_as_it_was() -> None:
    """The levels used to stay at 51 for good, and the warnings off, where one thread came while another was in."""

    def often() -> None:
        for _ in range(500):
            with quiet_libraries():
                pass

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
