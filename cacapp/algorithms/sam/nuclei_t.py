"""Segment Anything model ``nuclei_t`` for nuclei: 3 million parameters, a convolutional image encoder.

Prompt encoder, two-way transformer and mask decoder are those of segment-anything (Kirillov et al. 2023); the image encoder is
replaced, as in MobileSAM and EdgeSAM. Tiles have 256 px, nuclei about 32 px. The single output tensor contains three maps, so that
SamPredictor can pass it on: the embedding (stride 8) and, folded into channels, finer features of stride 4 and 2, which the decoder
adds during upsampling (the "high-resolution features" of SAM 2, Ravi et al. 2024). Masks have stride 2.
"""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional

IMAGE_PX = 256
NUCLEUS_PX = 32.0  # diameter of a nucleus at the scale of the model
STRIDE = 8
EMBED = 128
FINE4, FINE2 = 16, 8  # channels of the finer maps, strides 4 and 2
MASK_STRIDE = 2


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs, 2), *(_Residual(outputs) for _ in range(blocks)))


class ConvEncoder(nn.Module):
    """Image encoder: (B, 1 or 3, 256, 256) float, 0..1 -> (B, EMBED + 4 FINE4 + 16 FINE2, 32, 32): the embedding and the folded finer maps.

    Takes the mean of the three colours, linear and logarithmic, so that a faint nucleus beside a bright one is not lost.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (16, 40, 96, 160), blocks: tuple[int, int, int] = (2, 3, 3)) -> None:
        super().__init__()
        self.img_size = IMAGE_PX
        a, b, c, d = widths
        self.stem = nn.Sequential(_conv(2, a, 2), _conv(a, a))
        self.stride4 = _stage(a, b, blocks[0])
        self.stride8 = _stage(b, c, blocks[1])
        self.stride16 = _stage(c, d, blocks[2])
        self.from16 = nn.Conv2d(d, EMBED, 1)
        self.from8 = nn.Conv2d(c, EMBED, 1)
        self.neck = nn.Sequential(_Residual(EMBED), nn.Conv2d(EMBED, EMBED, 1))
        self.fine4 = nn.Conv2d(b, FINE4, 1)
        self.fine2 = nn.Conv2d(a, FINE2, 1)

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute from (B, 1 or 3, H, W) float, 0..1, sides multiples of 16, maps of stride 8 (EMBED channels), 4 (FINE4) and 2 (FINE2)."""
        grey = image.mean(dim=1, keepdim=True)
        x2 = self.stem(torch.cat([grey * 2 - 0.5, torch.log1p(grey * 60) / 2.0 - 1.0], dim=1))
        x4 = self.stride4(x2)
        x8 = self.stride8(x4)
        x16 = functional.interpolate(self.from16(self.stride16(x8)), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.neck(functional.relu(self.from8(x8) + x16)), self.fine4(x4), self.fine2(x2)

    def forward(self, image: Tensor) -> Tensor:
        embedding, fine4, fine2 = self.maps(image)
        return torch.cat([embedding, functional.pixel_unshuffle(fine4, 2), functional.pixel_unshuffle(fine2, 4)], dim=1)


def unfold_maps(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unfold the encoder's output: embedding (B, EMBED, h, w), stride-4 map (B, FINE4, 2h, 2w), stride-2 map (B, FINE2, 4h, 4w)."""
    embedding, fine4, fine2 = torch.split(features, [EMBED, 4 * FINE4, 16 * FINE2], dim=1)
    return embedding, functional.pixel_shuffle(fine4, 2), functional.pixel_shuffle(fine2, 4)


class FineMaskDecoder(MaskDecoder):  # type: ignore[misc]
    """Mask decoder of segment-anything that adds the encoder's finer maps during upsampling."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.add4 = nn.Conv2d(FINE4, EMBED // 4, 1)
        self.add2 = nn.Conv2d(FINE2, EMBED // 8, 1)

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Predict the masks of N prompts on one image, or on N crops of images.

        Args:
            image_embeddings: (1 or N, C, h, w), the encoder's output.
            image_pe: (1 or N, EMBED, h, w).
            sparse_prompt_embeddings: (N, T, EMBED). dense_prompt_embeddings: (N, EMBED, h, w).

        Returns:
            Mask logits (N, 4, 4h, 4w) and predicted IoU (N, 4).
        """
        n = len(sparse_prompt_embeddings)
        embedding, fine4, fine2 = unfold_maps(image_embeddings)
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).expand(n, -1, -1)
        tokens = torch.cat((output, sparse_prompt_embeddings), dim=1)
        source = embedding + dense_prompt_embeddings  # one image is repeated for its prompts here
        h, w = source.shape[-2:]
        tokens, source = self.transformer(source, image_pe.expand(n, -1, -1, -1), tokens)
        source = source.transpose(1, 2).reshape(n, EMBED, h, w)
        widen, norm, bend, widen_again, bend_again = self.output_upscaling
        source = bend(norm(widen(source)) + self.add4(fine4))
        source = bend_again(widen_again(source) + self.add2(fine2))
        kernels = torch.stack([mlp(tokens[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1)
        masks = (kernels @ source.flatten(2)).view(n, -1, *source.shape[-2:])
        return masks, self.iou_prediction_head(tokens[:, 0])


def build_nuclei_t() -> Sam:
    """Build the model with random weights. `SamPredictor(build_nuclei_t())` works as with any SAM; its image size is 256 px."""
    grid = IMAGE_PX // STRIDE
    return Sam(
        image_encoder=ConvEncoder(),
        prompt_encoder=PromptEncoder(
            embed_dim=EMBED, image_embedding_size=(grid, grid), input_image_size=(IMAGE_PX, IMAGE_PX), mask_in_chans=16
        ),
        mask_decoder=FineMaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=EMBED, mlp_dim=512, num_heads=8),
            transformer_dim=EMBED,
            iou_head_depth=3,
            iou_head_hidden_dim=128,
        ),
        pixel_mean=[0.0, 0.0, 0.0],
        pixel_std=[255.0, 255.0, 255.0],
    )


def window_origins(points_xy: Tensor, window: int, grid: int = IMAGE_PX // STRIDE) -> Tensor:
    """Return top-left cells (N, 2) int64, (y, x), of windows of ``window`` x ``window`` cells around points (N, 2) xy px, in the tile."""
    yx = points_xy.flip(-1) / STRIDE - window / 2
    return yx.round().clamp(0, grid - window).long()


def crop_windows(maps: Tensor, image: Tensor, origins_yx: Tensor, window: int) -> Tensor:
    """Crop windows of ``maps`` (B, C, h, w): (N, C, window, window), window n from image ``image[n]`` at cell ``origins_yx[n]``."""
    steps = torch.arange(window, device=maps.device)
    rows = origins_yx[:, 0, None] + steps
    columns = origins_yx[:, 1, None] + steps
    return maps.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def decode_windows(
    sam: Sam,
    features: Tensor,
    image: Tensor,
    points_xy: Tensor,
    point_labels: Tensor,
    *,
    boxes_xyxy: Tensor | None = None,
    masks: Tensor | None = None,
    window: int = 16,
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode N prompts, each on a window around its first point: four times cheaper than on the whole tile, with the same masks.

    Args:
        features: (B, C, 32, 32), the image encoder's output for B tiles.
        image: (N,) int64, the tile of each prompt.
        points_xy, point_labels: (N, P, 2) px of the tile, (N, P): 1 object, 0 background, -1 padding.
        boxes_xyxy: (N, 4) px, or None.
        masks: logits of an earlier decoding in the same windows, (N, 1, 4 window, 4 window), or None.
        window: cells of 8 px; 32 is the whole tile.

    Returns:
        Logits (N, 4, 4 window, 4 window) at 2 px a cell, predicted IoU (N, 4), and each window's top-left (N, 2) (y, x) px.
    """
    origins = window_origins(points_xy[:, 0], window)
    crops = crop_windows(features, image, origins, window)
    encoder = sam.prompt_encoder
    positions = crop_windows(encoder.get_dense_pe(), torch.zeros_like(image), origins, window)
    sparse = encoder._embed_points(points_xy, point_labels, pad=boxes_xyxy is None)
    if boxes_xyxy is not None:
        sparse = torch.cat([sparse, encoder._embed_boxes(boxes_xyxy)], dim=1)
    if masks is None:
        dense = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(len(crops), -1, window, window)
    else:
        dense = encoder._embed_masks(masks)
    logits, iou = sam.mask_decoder.predict_masks(crops, positions, sparse, dense)
    return logits, iou, origins * STRIDE
