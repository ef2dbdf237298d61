"""Stochastic depth and dropout, whose rates are tensors."""

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Drops the residual branch of whole samples in training; the rest is divided by its keep probability.

    The rate is a tensor, so that it can change without rebuilding the module, also inside a CUDA graph.
    (Huang et al. 2016, "Deep Networks with Stochastic Depth".)
    """

    drop_rate: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("drop_rate", torch.zeros(()), persistent=False)

    def forward(self, branch: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return branch * self.factors(branch).to(branch.dtype) if self.training else branch

    def factors(self, branch: Tensor) -> Tensor:
        """Draws the factor of each sample in training: 0 or 1 / (1 - rate), (N, 1, 1, 1) float32."""
        draws = torch.rand(branch.shape[0], 1, 1, 1, device=branch.device)
        return (draws >= self.drop_rate) / (1 - self.drop_rate)


class Dropout(nn.Module):
    """Dropout whose rate is a tensor, for the same reason as in StochasticDepth."""

    drop_rate: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("drop_rate", torch.zeros(()), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C) to the same shape."""
        if not self.training:
            return features
        kept = (torch.rand_like(features, dtype=torch.float32) >= self.drop_rate) / (1 - self.drop_rate)
        return features * kept.to(features.dtype)
