"""Mixup and CutMix: Beta draws against theory, weights against the pixels, the loss against mixed targets."""

import math

import numpy as np
import pytest
import torch
from keyed_draws import keyed_uniform
from torch.nn import functional

from trials.augmentation.mixing import beta_ratios, beta_table, cutmix, mixup
from trials.recipe import LARGEST_ALPHA
from trials.training.loss import mixed_cross_entropy, shared_target

ALPHAS = [0.05, 0.067, 0.2, 0.5, 1.0, 2.0, 4.0]


def draws_of(count: int, columns: int = 1) -> torch.Tensor:
    return keyed_uniform(0, 0, torch.arange(count), columns)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_beta_draws_have_the_moments_of_theory(alpha: float) -> None:
    """Mean 1/2, variance 1 / (4 (2a + 1)), fourth central moment 3 / (16 (2a + 1) (2a + 3)); symmetric."""
    count = 200_000
    ratios = beta_ratios(draws_of(count)[:, 0], beta_table(alpha)).double()
    variance = 1 / (4 * (2 * alpha + 1))
    fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))
    assert 0 <= ratios.min() <= ratios.max() <= 1
    assert ratios.mean().item() == pytest.approx(0.5, abs=5 * (variance / count) ** 0.5)
    centred = ratios - 0.5
    spread = ((fourth - variance**2) / count) ** 0.5
    assert (centred**2).mean().item() == pytest.approx(variance, abs=5 * spread)
    assert (centred**4).mean().item() == pytest.approx(fourth, abs=3 * spread)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_quantiles_of_beta_draws_agree_with_those_of_gamma_ratios(alpha: float) -> None:
    """X / (X + Y) of two Gamma(a) is Beta(a, a); Kolmogorov-Smirnov distance of 200,000 draws each."""
    generator = np.random.default_rng(1)
    expected = np.sort(generator.beta(alpha, alpha, 200_000))
    ours = np.sort(beta_ratios(draws_of(200_000)[:, 0], beta_table(alpha)).double().numpy())
    grid = np.linspace(0.0005, 0.9995, 2000)  # nearer to 0 and 1 a float32 has no room for alpha = 0.05
    distance = np.abs(np.searchsorted(expected, grid) - np.searchsorted(ours, grid)).max() / 200_000
    assert distance < 1.95 * (2 / 200_000) ** 0.5  # exceeded once in 1,000


def test_beta_draws_of_alpha_1_are_uniform_and_of_2_have_known_quantiles() -> None:
    uniforms = torch.linspace(0, 1 - 2**-24, 1001)
    assert torch.allclose(beta_ratios(uniforms, beta_table(1.0)), uniforms, atol=1e-3)
    two = beta_ratios(uniforms, beta_table(2.0)).double()
    assert torch.allclose(3 * two**2 - 2 * two**3, uniforms.double(), atol=1e-4)  # the distribution function


def test_mixing_with_alpha_0_changes_nothing() -> None:
    images = torch.randint(0, 256, (8, 6, 6, 3), dtype=torch.uint8)
    draws = draws_of(8, 3)
    ratios = beta_ratios(draws[:, 0], beta_table(0.0))
    for mixed, weights in (mixup(images, ratios), cutmix(images, ratios, draws[:, 1:])):
        assert torch.equal(mixed, images)
        assert weights.eq(1).all()


def test_alpha_of_mixing_changes_by_copying_another_table_into_place() -> None:
    uniforms, table = draws_of(100)[:, 0], beta_table(0.2)
    table.copy_(beta_table(1.0))
    assert torch.equal(beta_ratios(uniforms, table), beta_ratios(uniforms, beta_table(1.0)))


@pytest.mark.parametrize("alpha", [-0.1, LARGEST_ALPHA + 0.1, math.nan])
def test_impossible_alphas_of_mixing_are_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="must be from 0 to 4"):
        beta_table(alpha)


def test_mixup_keeps_the_larger_part_and_mixes_with_the_reversed_batch() -> None:
    images = torch.rand(6, 4, 5, 3)
    ratios = torch.tensor([0.0, 0.2, 0.5, 0.7, 0.9, 1.0])
    mixed, weights = mixup(images, ratios)
    assert weights.tolist() == pytest.approx([1.0, 0.8, 0.5, 0.7, 0.9, 1.0])
    for i in range(6):
        expected = weights[i] * images[i] + (1 - weights[i]) * images[5 - i]
        assert torch.allclose(mixed[i], expected, atol=1e-6)


def test_mixup_of_whole_grey_levels_is_rounded() -> None:
    images = torch.randint(0, 256, (6, 4, 5, 3), dtype=torch.uint8)
    ratios = draws_of(6)[:, 0]
    mixed, weights = mixup(images, ratios)
    exact, exact_weights = mixup(images.float(), ratios)
    assert mixed.dtype == torch.uint8
    assert torch.equal(weights, exact_weights)
    assert (mixed - exact).abs().max() <= 0.5


def test_cutmix_weights_are_each_images_own_share_of_pixels() -> None:
    count = 500
    images = torch.arange(count, dtype=torch.int32)[:, None, None, None].expand(-1, 16, 12, 3)
    draws = draws_of(count, 3)
    ratios = beta_ratios(draws[:, 0], beta_table(1.0))
    mixed, weights = cutmix(images, ratios, draws[:, 1:])
    for i in range(count):
        kept = mixed[i] == i
        assert weights[i].item() == pytest.approx(kept.float().mean().item(), abs=1e-6)
        assert mixed[i][~kept].eq(count - 1 - i).all()
        rows, columns = (~kept[..., 0]).any(1).sum(), (~kept[..., 0]).any(0).sum()
        assert rows * columns == (~kept[..., 0]).sum()  # a box


def test_cutmix_box_that_the_edge_does_not_cut_has_the_drawn_size() -> None:
    images, ratios = torch.zeros(101, 100, 80, 3), torch.linspace(0, 1, 101)
    _, weights = cutmix(images, ratios, torch.full((101, 2), 0.5))
    assert (weights - ratios).abs().max() < 0.02  # whole pixels
    _, corner = cutmix(images, ratios, torch.zeros(101, 2))
    assert (1 - corner - (1 - ratios) / 4).abs().max() < 0.02


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_of_mixed_images_is_that_of_the_mixed_target(smoothing: float, several: bool) -> None:
    torch.manual_seed(0)
    logits, labels, weights = torch.randn(16, 5), torch.randint(0, 5, (16,)), torch.rand(16)
    listed = torch.stack([labels, (labels + 1) % 5 if several else torch.full_like(labels, -1)], dim=1)
    target = shared_target(listed, 5)
    mixed = weights[:, None] * target + (1 - weights[:, None]) * target.flip(0)
    given = listed if several else labels
    loss = mixed_cross_entropy(logits, given, given.flip(0), weights, label_smoothing=smoothing)
    assert torch.allclose(loss, functional.cross_entropy(logits, mixed, label_smoothing=smoothing))


def test_mixing_reads_no_value_from_the_device() -> None:
    images, draws = torch.empty(8, 6, 6, 3, device="meta"), torch.empty(8, 3, device="meta")
    ratios = beta_ratios(draws[:, 0], beta_table(0.2).to("meta"))
    for mixed, weights in (mixup(images, ratios), cutmix(images, ratios, draws[:, 1:])):
        assert (mixed.shape, weights.shape) == (images.shape, (8,))
