"""Registered models: weights that were trained here, their files, and the runs that they were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from cacapp.db.tables import Model, Run
from cacapp.exceptions import UsageError

LINEAGE, FIGURES = "lineage", "figures"
"""What ``Model.metrics`` holds: the runs and frames that taught it, and how well it did on what was held back."""


def models(session: Session) -> list[Model]:
    """Return all models, the latest first."""
    return list(session.exec(select(Model).order_by(col(Model.id).desc())))


def find_model(session: Session, name: str) -> Model | None:
    """Return the model with this name, or with a file whose SHA-256 begins with it (8 hex digits at least); None without one."""
    found = session.exec(select(Model).where(Model.name == name)).one_or_none()
    if found is None and len(name) >= 8 and not set(name) - set("0123456789abcdef"):
        found = session.exec(select(Model).where(col(Model.sha256).startswith(name)).order_by(col(Model.id)).limit(1)).one_or_none()
    return found


def get_model(session: Session, name: str) -> Model:
    """Return the model as ``find_model`` does. Raises UsageError without one, with the names of the existing models."""
    found = find_model(session, name)
    if found is None:
        known = [model.name for model in models(session)[:10]]
        raise UsageError(f"no model {name!r} in the database; it has {', '.join(known) or 'none yet: see cacapp train'}")
    return found


def register(
    session: Session, *, name: str, kind: str, path: Path, sha256: str, trained_from_run_id: int | None, metrics: Mapping[str, Any]
) -> Model:
    """Write a model, in place of the one with the same name.

    Args:
        kind: the segmenter that uses it.
        trained_from_run_id: the first of the pseudo-label runs; all of them are in ``metrics``.
    """
    model = session.exec(select(Model).where(Model.name == name)).one_or_none() or Model(name=name, kind=kind, path="", sha256="")
    model.kind, model.path, model.sha256 = kind, str(path), sha256
    model.trained_from_run_id, model.metrics = trained_from_run_id, dict(metrics)
    session.add(model)
    session.flush()
    return model


def runs_by(session: Session, model: Model) -> list[int]:
    """Return the numbers of the runs that used exactly these weights."""
    return [i for i in session.exec(select(Run.id).where(Run.weights_sha256 == model.sha256).order_by(col(Run.id))) if i is not None]


def with_model_files(session: Session, params: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Replace, in parameters by algorithm, each ``weights`` that names a registered model by the path of that model's file."""
    result = {algorithm: dict(values) for algorithm, values in params.items()}
    for algorithm, values in result.items():
        weights = values.get("weights")
        if not isinstance(weights, str):
            continue
        model = session.exec(select(Model).where(Model.name == weights)).one_or_none()
        if model is None:
            continue
        if model.kind != algorithm:
            raise UsageError(f"weights={weights}: that model is of segmenter {model.kind!r}; use --segmenter {model.kind}")
        if not Path(model.path).is_file():
            raise UsageError(
                f"weights={weights}: its file {model.path} is gone; bring it back, or train it again (cacapp models show {weights})"
            )
        values["weights"] = model.path
    return result
