"""The fixtures of tests/frames: small images, and the frames and refusals that files give."""

from tests.frames.conftest import ome, one_frame, plane, refusal, stack

__all__ = ["ome", "one_frame", "plane", "refusal", "stack"]
