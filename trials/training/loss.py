"""Losses and correct predictions for images with one label or with several.

Labels are (B,), or (B, L) padded with -1. An image's n labels have a target of 1 / n each, so that targets
sum to 1, as in the EfficientNetV2 paper for ImageNet-21k (section 5.2).
"""

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(
    logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Softmax cross-entropy of logits (B, K), reduced over the images by "mean", "sum" or "none"."""
    return functional.cross_entropy(
        logits,
        labels if labels.dim() == 1 else shared_target(labels, logits.shape[1]),
        label_smoothing=label_smoothing,
        reduction=reduction,
    )


def mixed_cross_entropy(
    logits: Tensor, labels: Tensor, partners: Tensor, weights: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy of mixed images: `weights` (B,) of their own labels, the rest of the partners'."""
    own, other = (
        cross_entropy(logits, given, label_smoothing=label_smoothing, reduction="none")
        for given in (labels, partners)
    )
    return torch.lerp(other, own, weights).mean()


def shared_target(labels: Tensor, num_classes: int) -> Tensor:
    """Targets (B, K) float32 with 1 / n at each of an image's n labels."""
    given = (labels >= 0).float()  # (B, L)
    target = torch.zeros(labels.shape[0], num_classes, device=labels.device)
    return target.scatter_add_(1, labels.clamp(min=0), given / given.sum(dim=1, keepdim=True))


def are_correct(predictions: Tensor, labels: Tensor) -> Tensor:
    """A mask (B, P) of the predicted classes (B, P) that are among their image's labels."""
    if labels.dim() == 1:
        return predictions == labels[:, None]
    return (predictions[:, :, None] == labels[:, None, :]).any(dim=2)
