"""The three parts that make it another network than ``maskrcnn``."""

from __future__ import annotations

import torch
from cacapp_macd_rcnn.attention import Attention, AttentiveBackbone
from cacapp_macd_rcnn.edges import EdgePredictor, edges_of
from cacapp_macd_rcnn.fixed import WINDOW_PX, OwnAndFixedPool, windows
from cacapp_macd_rcnn.network import build

from cacapp.algorithms.maskrcnn.network import LightBackbone
from cacapp.algorithms.maskrcnn.targets import target_of


def test_attention_begins_as_nothing_and_then_weighs_channels_and_places() -> None:
    x = torch.rand(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    attention = Attention(16)
    assert torch.equal(attention(x), x)
    torch.nn.init.constant_(attention.squeeze[-1].bias, -9.0)
    assert attention(x).abs().max() < 1e-3


def test_the_attentive_backbone_takes_the_weights_of_the_light_one() -> None:
    plain = LightBackbone().eval()
    attentive = AttentiveBackbone().eval()
    missing, unexpected = attentive.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert all(name.startswith("attention.") for name in missing)
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert all(torch.allclose(a, b) for a, b in zip(plain(image).values(), attentive(image).values(), strict=True))


def test_the_fixed_window_is_the_same_whatever_the_size_of_the_proposal() -> None:
    small, large = torch.tensor([[40.0, 40, 60, 60]]), torch.tensor([[20.0, 30, 80, 70]])
    assert windows(small).tolist() == windows(large).tolist() == [[50 - WINDOW_PX / 2] * 2 + [50 + WINDOW_PX / 2] * 2]
    maps = {str(n): torch.rand(1, 8, 32 // 2**n, 32 // 2**n) for n in range(3)}
    pool = OwnAndFixedPool()
    found = [pool(maps, [boxes], [(128, 128)]) for boxes in (small, large)]
    assert found[0].shape == (1, 16, 7, 7)
    assert torch.equal(found[0][:, 8:], found[1][:, 8:])
    assert not torch.equal(found[0][:, :8], found[1][:, :8])


def test_an_edge_is_the_inner_rim_of_a_mask() -> None:
    mask = torch.zeros(1, 9, 9)
    mask[0, 2:7, 2:7] = 1
    edge = edges_of(mask)
    assert edge.sum() == 16
    assert not edge[0, 3:6, 3:6].any()
    assert not edges_of(torch.ones(1, 9, 9)).any()  # a mask that fills its box has its edge outside


def test_the_edge_head_is_taught_and_draws_masks() -> None:
    torch.manual_seed(0)
    predictor = EdgePredictor(8, 4)
    assert predictor(torch.rand(3, 8, 14, 14)).shape == (3, 2, 28, 28)
    assert predictor.edges.shape == (3, 28, 28)


def test_the_edges_error_is_part_of_the_masks_loss_and_reaches_the_edge_head() -> None:
    labels = torch.zeros(128, 128, dtype=torch.int16)
    labels[40:70, 50:80] = 1
    network = build(edges=True).train()
    losses = network([torch.rand(1, 128, 128)], [target_of(labels.numpy())])
    losses["loss_mask"].backward()
    assert network.roi_heads.mask_predictor.edge[-1].weight.grad.abs().sum() > 0


def test_without_edges_there_is_no_edge_head() -> None:
    assert not any("edge" in name for name in build(edges=False).state_dict())
