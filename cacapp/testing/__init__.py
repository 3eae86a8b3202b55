"""The contract suite: the claims of every kind of algorithm, as pytest classes and as verdicts.

In a plugin's tests::

    from cacapp.testing import SegmenterContract

    class TestMine(SegmenterContract):
        algorithm = Mine

``cacapp plugins check`` runs the same claims on what is installed.
"""

from cacapp.testing.claims import ClaimError, Contract
from cacapp.testing.instance_filter import FilterContract
from cacapp.testing.prompter import PrompterContract
from cacapp.testing.reader import ReaderContract, Reference
from cacapp.testing.scenes import Scene
from cacapp.testing.segmenter import SegmenterContract
from cacapp.testing.signal_detector import SignalDetectorContract
from cacapp.testing.verdicts import CONTRACTS, Verdict, check, claims_of

__all__ = [
    "CONTRACTS",
    "ClaimError",
    "Contract",
    "FilterContract",
    "PrompterContract",
    "ReaderContract",
    "Reference",
    "Scene",
    "SegmenterContract",
    "SignalDetectorContract",
    "Verdict",
    "check",
    "claims_of",
]
