"""The networks of segmenter ``maskrcnn`` and what they learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cacapp.algorithms.maskrcnn.heads import IGNORED, _known, unknown_share
from cacapp.algorithms.maskrcnn.model import load_network
from cacapp.algorithms.maskrcnn.network import build
from cacapp.algorithms.maskrcnn.targets import target_of
from cacapp.algorithms.training.start import start_from
from cacapp.exceptions import CacappError
from cacapp.types import UNKNOWN, Array
from cacapp.weights.cache import locate


def disk(shape: tuple[int, int] = (64, 64), y: float = 30, x: float = 34, radius: float = 14) -> Array:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (np.hypot(rows - y, columns - x) < radius).astype(np.int32)


def test_the_light_network_is_small() -> None:
    network = build("light")
    assert sum(p.numel() for p in network.parameters()) < 3.4e6
    assert sum(v.numel() * 2 for v in network.state_dict().values()) < 6.8e6


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["light", "resnet50-fpn"])
def test_a_step_moves_every_weight_it_should(backbone: str) -> None:
    torch.manual_seed(0)
    network = build(backbone).train()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    labels = disk()
    losses = network([torch.from_numpy(labels)[None].float()] * 2, [target_of(labels), target_of(labels)])
    assert sorted(losses) == ["loss_box_reg", "loss_classifier", "loss_mask", "loss_objectness", "loss_rpn_box_reg"]
    torch.stack(list(losses.values())).sum().backward()
    torch.optim.SGD(network.parameters(), 0.1).step()
    still = [name for name, p in network.named_parameters() if torch.equal(p, before[name])]
    assert all("fpn" in name or "bias" in name for name in still)  # the coarsest map may have no box on it
    assert all(bool(p.isfinite().all()) for p in network.parameters())


def test_an_image_without_nuclei_is_a_training_sample_of_background() -> None:
    torch.manual_seed(0)
    network = build("light").train()
    losses = network([torch.zeros(1, 64, 64)] * 2, [target_of(np.zeros((64, 64), int))] * 2)
    assert losses["loss_mask"].item() == 0
    assert losses["loss_objectness"].item() > 0
    torch.stack(list(losses.values())).sum().backward()


def test_an_image_that_is_unknown_everywhere_changes_no_weights() -> None:
    torch.manual_seed(0)
    network = build("light").train()
    nothing = target_of(np.full((64, 64), UNKNOWN))
    anchors = [torch.tensor([[0.0, 0, 20, 20], [30, 30, 60, 60]])]
    labels, _ = network.rpn.assign_targets_to_anchors(anchors, [nothing])
    assert labels[0].tolist() == [IGNORED, IGNORED]
    labels, _ = network.rpn.assign_targets_to_anchors(anchors, [target_of(np.zeros((64, 64), int))])
    assert labels[0].tolist() == [0, 0]


def test_only_background_that_is_unknown_is_left_out() -> None:
    network = build("light").train()
    labels = disk()
    labels[:, 50:] = UNKNOWN
    target = target_of(labels)
    anchors = [torch.tensor([[20.0, 16, 48, 44], [0, 0, 16, 16], [48, 0, 64, 16]])]
    assert network.rpn.assign_targets_to_anchors(anchors, [target])[0][0].tolist() == [1, 0, IGNORED]
    network.roi_heads._unknown = [target["unknown"]]
    proposals = network.roi_heads.assign_targets_to_proposals(anchors, [target["boxes"]], [target["labels"]])[1]
    assert proposals[0].tolist() == [1, 0, IGNORED]


def test_the_unknown_share_of_a_box_is_its_overlap_with_the_unknown_area() -> None:
    unknown = torch.zeros(40, 50, dtype=torch.bool)
    unknown[10:20, 10:30] = True
    boxes = torch.tensor([[10.0, 10, 30, 20], [0, 0, 20, 20], [0, 0, 5, 5], [-10, 5, 20, 15], [60, 60, 70, 70]])
    assert unknown_share(unknown, boxes).tolist() == pytest.approx([1, 100 / 400, 0, 50 / 200, 0])


def test_unknown_pixels_of_a_mask_count_nowhere() -> None:
    target = {"unknown": torch.zeros(56, 56, dtype=torch.bool)}
    target["unknown"][:, :28] = True
    known = _known(target, torch.tensor([[0.0, 0, 56, 56]]), 28)[0]
    assert known[:, :13].sum() == 0
    assert known[:, 15:].min() == 1


def test_a_training_target_has_the_nuclei_of_the_labels() -> None:
    labels = disk() * 7
    labels[0:3, 0:3] = 4  # nine pixels at the edge are too little to learn from
    labels[40:, 60:] = UNKNOWN
    target = target_of(labels)
    rows, columns = np.nonzero(labels == 7)
    assert target["boxes"].tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    assert np.array_equal(target["masks"][0].numpy(), labels == 7)
    assert np.array_equal(target["unknown"].numpy(), (labels == UNKNOWN) | (labels == 4))


def test_training_starts_from_the_encoder_of_nuclei_t() -> None:
    network = build("light")
    assert start_from(network, locate("nuclei_t"), "maskrcnn") > 100
    with pytest.raises(CacappError, match="nothing in it fits"):
        start_from(build("resnet50-fpn"), locate("nuclei_t"), "maskrcnn")


def test_weights_tell_which_backbone_they_are_of(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({k: v.half() if v.is_floating_point() else v for k, v in build("resnet50-fpn").state_dict().items()}, str(path))
    assert sum(p.numel() for p in load_network(path, "1", "cpu").parameters()) > 40e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone.stem.0.0.weight": torch.zeros(3, 3)}, r"wrong shape: backbone.stem.0.0.weight \(3, 3\) instead of"),
        ({"roi_heads.box_predictor.cls_score.bias": torch.tensor([float("nan"), 0])}, "not finite"),
        ({"more": torch.zeros(1)}, "unexpected: more"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, torch.Tensor], message: str) -> None:
    path = tmp_path / "w.safetensors"
    save_file({**build("light").state_dict(), **change}, str(path))
    with pytest.raises(CacappError, match=message):
        load_network(path, "1", "cpu")


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(CacappError, match="no weights of maskrcnn; give a file that `cacapp train --model maskrcnn` wrote"):
        load_network(locate("nuclei_t"), "1", "cpu")
