"""Losses and correct answers, of images with one label or with several.

Labels are (B,), or (B, L) padded with -1. Several labels share the target equally: they are normalised to sum
1, as the EfficientNetV2 paper does for ImageNet-21k (section 5.2).
"""

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(
    logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Softmax cross-entropy of logits (B, K); over the images its mean, sum or none."""
    return functional.cross_entropy(
        logits,
        labels if labels.dim() == 1 else shared_target(labels, logits.shape[1]),
        label_smoothing=label_smoothing,
        reduction=reduction,
    )


def mixed_cross_entropy(
    logits: Tensor, labels: Tensor, partners: Tensor, weights: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy of mixed images: weight (B,) for the image's labels, the rest for its partner's."""
    own, other = (
        cross_entropy(logits, given, label_smoothing=label_smoothing, reduction="none")
        for given in (labels, partners)
    )
    return torch.lerp(other, own, weights).mean()


def shared_target(labels: Tensor, num_classes: int) -> Tensor:
    """(B, K) float32: 1 / n at each of an image's n labels."""
    given = (labels >= 0).float()  # (B, L)
    target = torch.zeros(labels.shape[0], num_classes, device=labels.device)
    return target.scatter_add_(1, labels.clamp(min=0), given / given.sum(dim=1, keepdim=True))


def are_correct(predictions: Tensor, labels: Tensor) -> Tensor:
    """(B, P) whether each of the predicted classes (B, P) is a label of its image."""
    if labels.dim() == 1:
        return predictions == labels[:, None]
    return (predictions[:, :, None] == labels[:, None, :]).any(dim=2)
