"""Step ``train``: from pseudo-labels to a registered model with its lineage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cacapp.db.engine.session import Database, open_database
from cacapp.db.models import find_model, get_model, models, runs_by, with_model_files
from cacapp.db.tables import Model, Run
from cacapp.exceptions import CacappError, UsageError
from cacapp.host import Host
from cacapp.report.curves import curves_svg
from cacapp.steps.learning.train import TrainingResult, TrainPlan, train
from cacapp.weights.digest import sha256_of

QUICK = {"epochs": 1, "crops": 2, "batch": 2, "crop_px": 64, "start": "nuclei_t", "device": "cpu"}


@pytest.fixture(scope="module")
def host() -> Host:
    return Host.discover()


@pytest.fixture
def labelled(counted: Callable[..., Any], record_url: str) -> Database:
    """The counted small slide with pseudo-labels, run 3."""
    assert counted("pseudo-label", "--prompters", "none", "--quiet").code == 0
    return open_database(record_url)


def quick(db: Database, host: Host, **changes: Any) -> TrainingResult:
    return train(db, host, TrainPlan("maskrcnn", {**QUICK, **changes.pop("params", {})}, changes.pop("seed", 0)), **changes)


@pytest.mark.training
def test_a_model_is_registered_with_its_training_runs_and_settings(labelled: Database, host: Host, tmp_path: Path) -> None:
    done = quick(labelled, host, name="first")
    with labelled.reading() as session:
        model = get_model(session, "first")
        run = session.get_one(Run, 3)
        source = session.get_one(Run, 1)
    path = tmp_path / "models" / "first" / "model.safetensors"
    assert (model.kind, model.path, model.sha256, model.trained_from_run_id) == ("maskrcnn", str(path), sha256_of(path), 3)
    assert done.folder == path.parent
    assert (done.folder / "curves.svg").read_text().startswith("<svg")
    (taught,) = model.metrics["lineage"]
    assert (taught["run"], taught["slide"], taught["fingerprint"]) == (3, "S1", run.fingerprint)
    assert [one["name"] for one in taught["judges"]] == ["single-cell"]
    assert taught["masks"]["run"] == 1
    assert taught["masks"]["fingerprint"] == source.fingerprint
    assert [one["name"] for one in taught["masks"]["algorithms"]] == ["watershed", "coarse"]
    assert [frame["name"] for frame in taught["frames"]] == ["frame00", "frame01"]
    assert all(len(frame["sha256"]) == 64 for frame in taught["frames"])
    assert taught["accepted"] == done.labels > 0
    assert model.metrics["figures"]["epochs"] == 1
    assert 0 <= model.metrics["figures"]["AP@0.5"] <= 1


@pytest.mark.training
def test_the_same_again_repeats_nothing_and_the_name_is_taken_for_others(labelled: Database, host: Host) -> None:
    first = quick(labelled, host, name="first")
    again = quick(labelled, host, name="first")
    assert again.repeated
    assert again.model.sha256 == first.model.sha256
    with pytest.raises(UsageError, match="--name first: a model of that name was trained on something else"):
        quick(labelled, host, name="first", seed=1)
    with labelled.reading() as session:
        assert len(models(session)) == 1


@pytest.mark.training
def test_a_lost_file_is_made_again(labelled: Database, host: Host) -> None:
    first = quick(labelled, host)
    (first.folder / "model.safetensors").unlink()
    (first.folder / "checkpoint.pt").unlink()
    again = quick(labelled, host)
    assert not again.repeated
    assert again.model.name == first.model.name
    assert again.model.sha256 == first.model.sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run_ids": [1]}, "run 1 is a segment run and has no pseudo-labels"),
        ({"run_ids": [99]}, "no run 99"),
        ({"barcodes": ["S9"]}, "no slide 'S9'"),
        ({"name": "a.b"}, "use letters, digits"),
        ({"name": "nuclei_t"}, "weights that come with cacapp are called so"),
        ({"params": {"epochs": 0}}, "epochs"),
    ],
)
def test_wrong_usage_trains_nothing(labelled: Database, host: Host, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        quick(labelled, host, **changes)
    assert not (tmp_path / "models").exists()


def test_a_segmenter_that_cannot_learn_is_named(labelled: Database, host: Host) -> None:
    with pytest.raises(UsageError, match=r"--model coarse: this segmenter cannot be trained; .*maskrcnn"):
        train(labelled, host, TrainPlan("coarse"))


def test_without_pseudo_labels_it_says_how_to_make_some(counted: Callable[..., Any], host: Host, record_url: str) -> None:
    with pytest.raises(CacappError, match="no pseudo-labels of these slides yet; make some with: cacapp pseudo-label"):
        quick(open_database(record_url), host)


def test_without_an_accepted_label_it_says_why(counted: Callable[..., Any], host: Host, record_url: str, tmp_path: Path) -> None:
    counted("pseudo-label", "--prompters", "none", "--set", "min_area_um2=5000", "--set", "max_area_um2=9000")
    with pytest.raises(CacappError, match="run 3 has no accepted pseudo-label; see why with"):
        quick(open_database(record_url), host)
    assert not (tmp_path / "models").exists()


def test_a_model_is_found_by_name_and_by_digest(database: Database) -> None:
    with database.session() as session:
        session.add(Model(name="one", kind="maskrcnn", path=__file__, sha256="ab" * 32, metrics={}))
        session.add(Model(name="gone", kind="maskrcnn", path="/nowhere/x.safetensors", sha256="cd" * 32, metrics={}))
    with database.reading() as session:
        assert find_model(session, "one") == find_model(session, "abababab")
        assert find_model(session, "abab") is None
        assert runs_by(session, get_model(session, "one")) == []
        with pytest.raises(UsageError, match="no model 'two' in the database; it has gone, one"):
            get_model(session, "two")
        found = with_model_files(session, {"maskrcnn": {"weights": "one", "min_score": 0.3}, "sam": {"weights": "nuclei_t"}})
        assert found == {"maskrcnn": {"weights": __file__, "min_score": 0.3}, "sam": {"weights": "nuclei_t"}}
        with pytest.raises(UsageError, match="of segmenter 'maskrcnn'"):
            with_model_files(session, {"dense": {"weights": "one"}})
        with pytest.raises(UsageError, match=r"/nowhere/x\.safetensors is gone"):
            with_model_files(session, {"maskrcnn": {"weights": "gone"}})


def test_curves_have_a_line_a_loss_and_a_figure() -> None:
    rows = [{"epoch": n, "step": n, "loss": 3 / n, "loss_mask": 1 / n, "AP@0.5": n / 10} for n in range(1, 6)]
    drawn = curves_svg(rows, "a <model>")
    assert drawn.count("<polyline") == 3
    assert "a &lt;model&gt;" in drawn
    assert curves_svg([], "none").count("<polyline") == 0
    assert curves_svg(json.loads('[{"epoch": 1, "loss": NaN}]'), "broken").count("<circle") == 0
