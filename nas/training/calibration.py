"""Calibration of predicted probabilities: how often predictions of a confidence are right."""

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 15  # of equal width, as in Guo et al., "On Calibration of Modern Neural Networks" (2017)


@dataclass(frozen=True)
class Calibration:
    """Predictions in bins of equal width by their confidence, the probability of the predicted class.

    Attributes:
        counts: of images in each bin, the least confident first.
        confidence: the mean confidence in each bin, 0-1; 0 in an empty one.
        accuracy: the share of them that is right, 0-1; 0 in an empty one.
    """

    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(self.counts)

    @property
    def expected_error(self) -> float:
        """Expected calibration error, 0-1: mean over the images of |accuracy - confidence| in their bin."""
        gaps = (abs(a - c) * n for n, c, a in zip(self.counts, self.confidence, self.accuracy, strict=True))
        return sum(gaps) / max(self.images, 1)

    @property
    def overconfidence(self) -> float:
        """Mean confidence minus accuracy over all images; negative where they are more right than sure."""
        gaps = ((c - a) * n for n, c, a in zip(self.counts, self.confidence, self.accuracy, strict=True))
        return sum(gaps) / max(self.images, 1)


class CalibrationCounter:
    """Sums over batches, on their device."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(3, BINS, dtype=torch.float64, device=device)  # images, confidences, hits

    def add(self, logits: Tensor, correct: Tensor) -> None:
        """Adds a batch: logits (B, K), and for each image whether its likeliest class is right (B,).

        Where a network has diverged, and a logit is no number, there is no probability: that counts as 0.
        """
        confidence = logits.double().softmax(dim=1).amax(dim=1).nan_to_num(0.0)  # (B,)
        bins = (confidence * BINS).long().clamp(max=BINS - 1)
        for row, values in zip(self._sums, (torch.ones_like(confidence), confidence, correct), strict=True):
            row.index_add_(0, bins, values.to(row.dtype))

    def result(self) -> Calibration:
        """The calibration over all batches so far."""
        counts, confidence, hits = self._sums.cpu()
        shown = counts.clamp(min=1)
        return Calibration(
            tuple(int(n) for n in counts.tolist()),
            tuple((confidence / shown).tolist()),
            tuple((hits / shown).tolist()),
        )
