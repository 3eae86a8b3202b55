"""The record of the review application's tests."""

from tests.review.conftest import counted, quick_hashes, record, settled_once, settled_template

__all__ = ["counted", "quick_hashes", "record", "settled_once", "settled_template"]
