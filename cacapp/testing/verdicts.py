"""Run the claims of a contract on an algorithm, each in a process that may crash or hang, and return a verdict for each."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cacapp.api import Algorithm
from cacapp.engine import Engine
from cacapp.exceptions import CacappError
from cacapp.processes.child import failure
from cacapp.testing.claims import ClaimError, Contract
from cacapp.testing.instance_filter import FilterContract
from cacapp.testing.prompter import PrompterContract
from cacapp.testing.reader import ReaderContract
from cacapp.testing.segmenter import SegmenterContract
from cacapp.testing.signal_detector import SignalDetectorContract

CONTRACTS: Mapping[str, type[Contract]] = {
    contract.kind: contract for contract in (PrompterContract, SegmenterContract, FilterContract, SignalDetectorContract, ReaderContract)
}

CLAIM_S = 300.0
"""Time limit of a claim, s."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of a claim.

    Attributes:
        claim: its sentence.
        broken: the reason why it does not hold, in one line; None if it holds.
        seconds: the time it took, s.
    """

    claim: str
    broken: str | None
    seconds: float


def claims_of(kind: str) -> dict[str, str]:
    """Return the claims of a kind, general ones first: {method: sentence}."""
    methods: dict[str, str] = {}
    for cls in reversed(CONTRACTS[kind].__mro__):
        methods |= {name: inspect.getdoc(value) or name for name, value in vars(cls).items() if name.startswith("test_")}
    return methods


def check(
    kind: str, algorithm: Algorithm, *, memory_mb: int = Contract.memory_mb, claim_s: float = CLAIM_S, files: Sequence[Path] = ()
) -> Iterator[Verdict]:
    """Yield a verdict for each claim, in their order.

    Args:
        memory_mb: memory limit of a process that works on a whole frame, MB.
        claim_s: a claim that takes longer is broken, s.
        files: of its format, for a reader that cannot write examples.
    """
    claims = claims_of(kind)
    with Engine(1, frame_timeout_s=claim_s) as engine:
        for outcome in engine.run(partial(hold, kind, algorithm, memory_mb, tuple(files)), claims):
            broken = outcome.result if outcome.error is None else outcome.error.replace("--frame-timeout ", "")
            yield Verdict(claims[outcome.item], broken, outcome.seconds)


def hold(kind: str, algorithm: Algorithm, memory_mb: int, files: tuple[Path, ...], claim: str) -> str | None:
    """Return why a claim does not hold, or None. Runs in a worker process."""
    contract = type("Checked", (CONTRACTS[kind],), {"algorithm": algorithm, "memory_mb": memory_mb, "files": files})()
    try:
        getattr(contract, claim)()
    except (ClaimError, CacappError) as error:
        return str(error)
    except (Exception, SystemExit) as error:
        return failure(error, type(algorithm).__module__)
    return None
