"""The record of the review application's tests."""

from tests.review.conftest import quick_hashes, record

__all__ = ["quick_hashes", "record"]
