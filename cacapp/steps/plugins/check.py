"""Step ``plugins check``: run the contract suite on installed plugins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from cacapp.api import Algorithm, Reader, TrainableSegmenter
from cacapp.exceptions import CacappError, UsageError
from cacapp.host import Host, Registered, assign, same_name
from cacapp.runs.progress import Progress, Silent
from cacapp.runs.training import WEIGHTS, train_segmenter, training_settings
from cacapp.testing import Verdict, claims_of
from cacapp.testing import check as verdicts_of
from cacapp.testing.training_scenes import simulated
from cacapp.types import TrainingSample

OWN = "cacapp"

TRAINING_FRAMES = 3
"""Number of simulated frames for the training before a check."""


@dataclass(frozen=True, slots=True)
class Checked:
    """An algorithm with a verdict for each claim. ``untrained``: it can be trained, but got neither weights (``--set``) nor a training."""

    kind: str
    name: str
    distribution: str
    version: str
    origin: str
    verdicts: tuple[Verdict, ...]
    untrained: bool = False


@dataclass(frozen=True, slots=True)
class PluginCheck:
    """The checked algorithms, and the problems: plugins that failed to load, algorithms that could not be built."""

    checked: tuple[Checked, ...]
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.problems and all(v.broken is None for one in self.checked for v in one.verdicts)

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        algorithms = [
            {"kind": c.kind, "name": c.name, "distribution": c.distribution, "version": c.version}
            | {
                "claims": [
                    {"claim": v.claim, "holds": v.broken is None, "why": v.broken, "seconds": round(v.seconds, 3)} for v in c.verdicts
                ]
            }
            for c in self.checked
        ]
        return {"holds": self.holds, "algorithms": algorithms, "problems": list(self.problems)}


def check_plugins(
    host: Host,
    distribution: str | None = None,
    algorithm: str | None = None,
    settings: Sequence[str] = (),
    *,
    memory_mb: int,
    claim_s: float,
    train: bool = False,
    files: Sequence[Path] = (),
    progress: Progress | None = None,
) -> PluginCheck:
    """Check the algorithms of a distribution; without one, of all but cacapp itself.

    Args:
        algorithm: only those of this name.
        settings: ``--set`` texts.
        memory_mb: memory limit of a process that works on a whole frame, MB.
        claim_s: a claim that takes longer is broken, s.
        train: first train, on simulated nuclei, each algorithm that can be trained and gets no weights.

        files: to try readers with that cannot write any; each reader gets those with its suffixes.

    Raises:
        UsageError: there is no such distribution, algorithm or file.
    """
    missing = next((file for file in files if not file.exists()), None)
    if missing is not None:
        raise UsageError(f"--file {missing}: no such file")

    def asked(of: str) -> bool:
        return not same_name(of, OWN) if distribution is None else same_name(of, distribution)

    chosen = [r for r in host.algorithms() if asked(r.distribution) and algorithm in (None, r.name)]
    problems = [str(p) for p in host.problems if asked(p.distribution.rpartition(" ")[0]) and (algorithm is None or p.name == algorithm)]
    if not chosen and not problems:
        raise UsageError(_nothing(host, distribution, algorithm))
    values = assign(settings, chosen)
    progress = progress or Silent()
    progress.start("check", sum(len(claims_of(r.kind)) for r in chosen))
    checked = []
    with TemporaryDirectory() as scratch:
        for found in chosen:
            try:
                built = host.build(found.kind, found.name, values[found.name])
                untrained = (
                    isinstance(built, TrainableSegmenter) and WEIGHTS in found.cls.model_fields and WEIGHTS not in values[found.name]
                )
                if train and untrained:
                    built, untrained = _trained(host, found, cast(TrainableSegmenter, built), Path(scratch) / found.name), False
            except CacappError as error:
                problems.append(str(error))
                continue
            verdicts = []
            own = [f.absolute() for f in files if isinstance(built, Reader) and f.name.lower().endswith(built.suffixes)]
            for verdict in verdicts_of(found.kind, built, memory_mb=memory_mb, claim_s=claim_s, files=own):
                verdicts.append(verdict)
                progress.advance(found.name)
            checked.append(Checked(found.kind, found.name, found.distribution, found.version, found.origin, tuple(verdicts), untrained))
    return PluginCheck(tuple(checked), tuple(dict.fromkeys(problems)))


def _trained(host: Host, found: Registered, trainable: TrainableSegmenter, folder: Path) -> Algorithm:
    """Return the same algorithm with weights from a training on simulated nuclei. Raises CacappError where that fails."""
    samples = [TrainingSample(frame.dapi, frame.labels) for frame in map(simulated, range(TRAINING_FRAMES))]
    weights = train_segmenter(found, trainable, samples, folder, 0, Silent())
    return host.build(found.kind, found.name, training_settings(trainable) | {WEIGHTS: str(weights)})


def _nothing(host: Host, distribution: str | None, algorithm: str | None) -> str:
    installed = sorted({r.distribution for r in host.algorithms()})
    if distribution is None and algorithm is None:
        return f"no plugin is installed beside cacapp's own; to check those: cacapp plugins check {OWN}"
    if distribution is not None and not any(same_name(name, distribution) for name in installed):
        return f"no plugin of a distribution {distribution!r} is installed; there are {', '.join(installed)}"
    where = "any plugin beside cacapp's own" if distribution is None else f"{distribution!r}"
    return f"there is no algorithm {algorithm!r} in {where}; see: cacapp plugins list"
