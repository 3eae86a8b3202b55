"""The record of the review application's tests."""

from tests.review.conftest import quick_hashes, record, settled_once, settled_template

__all__ = ["quick_hashes", "record", "settled_once", "settled_template"]
