"""Swin Transformer (Liu et al., ICCV 2021) as a detector's backbone: four maps, each with its own norm."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import SwinBackbone, SwinConfig

STAGES = ("stage1", "stage2", "stage3", "stage4")


class Swin(nn.Module):
    """Args:
    width: channels of the first stage; each next stage has twice as many.
    depths, heads: of the four stages.
    window: side of the windows, in tokens.
    drop_path: rate at which the last block is left out in training; earlier blocks less.
    """

    def __init__(
        self,
        *,
        width: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        window: int = 7,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        config = SwinConfig(
            embed_dim=width,
            depths=list(depths),
            num_heads=list(heads),
            window_size=window,
            drop_path_rate=drop_path,
        )
        config.out_features = list(STAGES)
        self.model = SwinBackbone(config)
        # A classifier's last norm, which no map passes through.
        self.model.swin.register_module("layernorm", nn.Identity())
        self.channels = tuple(width * 2**stage for stage in range(4))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W), normalised as ImageNet is, to four maps (B, C, H / stride, W / stride), strides 4 to 32."""
        return self.model(pictures).feature_maps
