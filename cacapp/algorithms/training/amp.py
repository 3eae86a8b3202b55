"""Mixed precision: float16 with scaled gradients on CUDA, bfloat16 on a CPU with instructions for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Amp:
    """Mixed precision with autocast and GradScaler of torch; float32 on other devices."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.dtype = torch.float16 if device == "cuda" else torch.bfloat16
        self.on = device == "cuda" or (device == "cpu" and computes_in_bfloat16())
        self.scaler = torch.amp.GradScaler("cuda", enabled=device == "cuda")

    def cast(self) -> Any:
        """Return the context in which losses are computed."""
        return torch.autocast(self.device if self.on else "cpu", self.dtype, enabled=self.on)

    def descend(self, loss: Tensor, optimiser: torch.optim.Optimizer, network: nn.Module, clip: float) -> None:
        """Make one step of the optimiser, with the norm of the gradient limited to ``clip``."""
        scaled: Any = self.scaler.scale(loss)
        scaled.backward()
        self.scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(network.parameters(), clip)
        self.scaler.step(optimiser)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scaler.load_state_dict(state)


def computes_in_bfloat16() -> bool:
    """Return whether the CPU has instructions for bfloat16; without them it is slower than float32."""
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe and probe())
