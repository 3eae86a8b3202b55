"""nuclei_t is a Segment Anything model: its predictor drives it, and a window gives what the whole tile gives."""

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
segment_anything = pytest.importorskip("segment_anything")

from cacapp.algorithms.sam import nuclei_t  # noqa: E402


@pytest.fixture(scope="module")
def sam():
    torch.manual_seed(0)
    return nuclei_t.build_nuclei_t().eval()


def test_the_package_imports_no_torch():
    code = "import sys, cacapp.algorithms.sam; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_stays_small(sam):
    assert 2e6 < sum(p.numel() for p in sam.parameters()) < 4e6


def test_sam_predictor_drives_it(sam):
    predictor = segment_anything.SamPredictor(sam)
    predictor.set_image(np.full((200, 256, 3), 40, np.uint8))
    point = {"point_coords": np.array([[50.0, 60.0]]), "point_labels": np.array([1])}
    masks, scores, logits = predictor.predict(**point, multimask_output=True)
    assert masks.shape == (3, 200, 256)
    assert masks.dtype == bool
    assert (scores.shape, logits.shape) == ((3,), (3, 128, 128))
    again, _, _ = predictor.predict(**point, box=np.array([30, 40, 70, 80]), mask_input=logits[:1], multimask_output=False)
    assert again.shape == (1, 200, 256)


def test_a_window_as_large_as_the_tile_is_the_tile(sam):
    generator = torch.Generator().manual_seed(1)
    tiles = torch.rand(2, 1, 256, 256, generator=generator)
    points, kinds = torch.rand(6, 2, 2, generator=generator) * 256, torch.tensor([[1.0, 0.0]]).repeat(6, 1)
    with torch.no_grad():
        features = sam.image_encoder(tiles)
        image = torch.tensor([0, 0, 0, 1, 1, 1])
        logits, iou, origins = nuclei_t.decode_windows(sam, features, image, points, kinds, window=32)
        sparse, dense = sam.prompt_encoder((points[3:], kinds[3:]), None, None)
        expected, expected_iou = sam.mask_decoder.predict_masks(features[1:], sam.prompt_encoder.get_dense_pe(), sparse, dense)
    assert (origins == 0).all()
    assert torch.allclose(logits[3:], expected, atol=1e-4)
    assert torch.allclose(iou[3:], expected_iou, atol=1e-5)


def test_windows_lie_inside_the_tile_and_hold_their_point():
    points = torch.tensor([[0.0, 0.0], [255.0, 255.0], [128.0, 40.0]])
    origins = nuclei_t.window_origins(points, 16)
    assert (origins >= 0).all()
    assert (origins <= 16).all()
    inside = points.flip(-1) - origins * nuclei_t.STRIDE
    assert (inside >= 0).all()
    assert (inside < 128).all()


def test_crops_are_the_cells_of_the_feature_map():
    maps = torch.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32).float()
    crops = nuclei_t.crop_windows(maps, torch.tensor([1, 0]), torch.tensor([[4, 7], [0, 16]]), 16)
    assert torch.equal(crops[0], maps[1, :, 4:20, 7:23])
    assert torch.equal(crops[1], maps[0, :, 0:16, 16:32])


def test_joined_maps_are_separated_without_change(sam):
    with torch.no_grad():
        features = sam.image_encoder(torch.zeros(1, 3, 256, 256))
    shapes = [tuple(m.shape) for m in nuclei_t.unfold_maps(features)]
    assert shapes == [(1, 128, 32, 32), (1, 16, 64, 64), (1, 8, 128, 128)]
