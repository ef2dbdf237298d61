"""Losses and correct predictions for images with one label or with several.

Labels are (B,), or (B, L) padded with -1. An image's n labels have a target of 1 / n each, so that targets
sum to 1, as in the EfficientNetV2 paper for ImageNet-21k (section 5.2).

With class weights (K,) each label's loss counts as often as its class's weight. Means stay those over all
images, not over their weights: so a batch's gradient is the mean of its parts', on however many devices.
"""

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 1024  # images whose targets are made at a time


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    class_weights: Tensor | None = None,
) -> Tensor:
    """Softmax cross-entropy of logits (B, K), reduced over the images by "mean", "sum" or "none".

    Smoothing is of each label by itself, so that it is as strong for rare classes as for frequent ones.
    """
    if class_weights is not None:
        return _reduced(_weighted_losses(logits, labels, class_weights, label_smoothing), reduction)
    return functional.cross_entropy(
        logits,
        labels if labels.dim() == 1 else shared_target(labels, logits.shape[1]),
        label_smoothing=label_smoothing,
        reduction=reduction,
    )


def _weighted_losses(logits: Tensor, labels: Tensor, class_weights: Tensor, smoothing: float) -> Tensor:
    """The losses (B,) of weighted labels: sum over labels of target * weight * smoothed cross-entropy."""
    if labels.dim() == 1:
        losses = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
        return losses * class_weights[labels]
    target = shared_target(labels, logits.shape[1]) * class_weights  # (B, K)
    spread = smoothing / logits.shape[1] * target.sum(dim=1, keepdim=True)  # to every class
    return functional.cross_entropy(logits, target * (1 - smoothing) + spread, reduction="none")


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def mixed_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    partners: Tensor,
    weights: Tensor,
    *,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Mean cross-entropy of mixed images: `weights` (B,) of their own labels, the rest of the partners'."""
    own, other = (
        cross_entropy(
            logits,
            given,
            label_smoothing=label_smoothing,
            reduction="none",
            class_weights=class_weights,
        )
        for given in (labels, partners)
    )
    return torch.lerp(other, own, weights).mean()


def balanced_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Weights (num_classes,) float32 inverse to the classes' frequencies; their mean over the images is 1.

    Of N images, n_c of them of class c, and K classes that occur: N / (K n_c). An image of several labels is
    a part of an image of each. A class that does not occur has the weight 0, which is never used.
    """
    if labels.dim() == 1:
        found = torch.bincount(labels.long(), minlength=num_classes).double()
    else:
        found = torch.zeros(num_classes, dtype=torch.float64, device=labels.device)
        for part in labels.split(CHUNK):  # targets of all images at once would take N x K numbers
            found += shared_target(part.long(), num_classes).sum(dim=0)
    present = found > 0
    weights = len(labels) / (present.sum() * found.clamp(min=1e-12))
    return torch.where(present, weights, 0.0).float()


def shared_target(labels: Tensor, num_classes: int) -> Tensor:
    """Targets (B, K) float32 with 1 / n at each of an image's n labels."""
    given = (labels >= 0).float()  # (B, L)
    target = torch.zeros(labels.shape[0], num_classes, device=labels.device)
    return target.scatter_add_(1, labels.clamp(min=0), given / given.sum(dim=1, keepdim=True))


def counted_labels(labels: Tensor, predicted: Tensor, is_correct: Tensor) -> Tensor:
    """The class (B,) under which an image counts in figures of each class.

    Of an image with several labels it is the predicted one or, where that is none of them, the first.
    """
    return labels if labels.dim() == 1 else torch.where(is_correct, predicted, labels[:, 0])


def are_correct(predictions: Tensor, labels: Tensor) -> Tensor:
    """A mask (B, P) of the predicted classes (B, P) that are among their image's labels."""
    if labels.dim() == 1:
        return predictions == labels[:, None]
    return (predictions[:, :, None] == labels[:, None, :]).any(dim=2)
