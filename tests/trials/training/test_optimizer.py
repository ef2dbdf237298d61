"""RMSProp in TensorFlow's form, averaging and learning rates, against written-out references."""

import math

import pytest
import torch
from torch import nn

from trials.recipe import Ramp, Recipe
from trials.training.flat_parameters import CUDA_ALIGNMENT, FlatParameters
from trials.training.learning_rate import learning_rate_at
from trials.training.rmsprop import RMSProp
from trials.training.weight_average import WeightAverage


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.Conv2d(8, 8, 3, groups=8, bias=False),
        nn.Conv2d(8, 4, 1),
        nn.Flatten(),
        nn.LazyLinear(5),
    )
    layers(torch.zeros(1, 3, 8, 8))
    return layers.to(memory_format=torch.channels_last)


def batch(i: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(i)
    return torch.randn(6, 3, 8, 8, generator=generator), torch.randint(0, 5, (6,), generator=generator)


def loss_of(model: nn.Module, i: int) -> torch.Tensor:
    images, labels = batch(i)
    return nn.functional.cross_entropy(model(images), labels)


def differentiate(model: nn.Module, flat: FlatParameters, i: int) -> None:
    loss_of(model, i).backward()
    flat.collect()


def gradients(flat: FlatParameters) -> list[torch.Tensor]:
    return [
        flat.grads.as_strided(parameter.size(), parameter.stride(), begin)
        for parameter, (begin, _) in zip(flat.parameters, flat.values_layout.ranges, strict=True)
    ]


def test_parameters_are_views_of_a_flat_vector_in_their_own_layout() -> None:
    model, twin = network(), network()
    flat = FlatParameters(model)
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert own.stride() == other.stride()
        assert own.untyped_storage().data_ptr() == flat.values.untyped_storage().data_ptr()
    assert flat.decayed == sum(p.numel() for p in model.parameters() if p.dim() > 1)
    assert flat.values.numel() == sum(p.numel() for p in model.parameters())
    assert flat.statistics.numel() == 16
    before = flat.statistics.clone()
    loss_of(model, 1)
    assert not torch.equal(flat.statistics, before)  # batch norm writes through the views


def test_collected_gradients_are_those_of_each_parameter_or_the_sum_of_several_passes() -> None:
    model, twin = network(), network()
    flat = FlatParameters(model)
    flat.grads.fill_(7.0)  # nothing of an earlier step may remain
    twins = {id(own): other for own, other in zip(model.parameters(), twin.parameters(), strict=True)}
    for passes in range(2):
        loss_of(model, passes).backward()
        flat.collect(adds=passes > 0)
        loss_of(twin, passes).backward()
        assert all(parameter.grad is None for parameter in model.parameters())
        for parameter, gradient in zip(flat.parameters, gradients(flat), strict=True):
            torch.testing.assert_close(gradient, twins[id(parameter)].grad)


def test_parameter_without_a_gradient_collects_zeros() -> None:
    model = network()
    flat = FlatParameters(model)
    flat.grads.fill_(7.0)
    flat.parameters[0].grad = torch.ones_like(flat.parameters[0])
    flat.collect()
    collected = gradients(flat)
    assert collected[0].eq(1).all()
    assert not any(gradient.any() for gradient in collected[1:])


def test_tensors_of_aligned_vectors_begin_at_16_bytes_also_in_half_precision() -> None:
    model = network()
    flat = FlatParameters(model, alignment=CUDA_ALIGNMENT)
    for tensor in [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]:
        vector = flat.values if isinstance(tensor, nn.Parameter) else flat.grads_and_statistics
        offset = tensor.storage_offset()
        assert tensor.untyped_storage().data_ptr() == vector.untyped_storage().data_ptr()
        assert (offset * 4 % 16, offset * 2 % 16) == (0, 0)
    assert all(p.dim() > 1 for p in model.parameters() if p.storage_offset() < flat.decayed)
    assert all(p.dim() <= 1 for p in model.parameters() if p.storage_offset() >= flat.decayed)


def trained(alignment: int) -> tuple[FlatParameters, RMSProp, WeightAverage, nn.Module]:
    model = network()
    flat = FlatParameters(model, alignment=alignment)
    optimizer, average = RMSProp(flat), WeightAverage(flat, decay=0.9)
    for i in range(3):
        differentiate(model, flat, i)
        optimizer.step(torch.tensor(0.01))
        average.update()
    return flat, optimizer, average, model


def test_gaps_between_aligned_tensors_change_neither_weights_nor_states() -> None:
    plain, aligned = trained(1), trained(CUDA_ALIGNMENT)
    for name, value in plain[3].state_dict().items():
        torch.testing.assert_close(aligned[3].state_dict()[name], value)
    assert aligned[0].values_layout.has_gaps
    assert not plain[0].values_layout.has_gaps
    for own, other in zip((plain[1], plain[2]), (aligned[1], aligned[2]), strict=True):
        for name, vector in own.state().items():
            if vector.dim():
                layouts = aligned[0].values_layout, aligned[0].statistics_layout
                layout = layouts[name == "statistics"]
                torch.testing.assert_close(layout.packed(other.state()[name]), vector)


def test_state_of_unaligned_vectors_is_loaded_into_aligned_ones_and_back() -> None:
    plain, aligned = trained(1), trained(CUDA_ALIGNMENT)
    aligned[1].load({name: 2 * tensor for name, tensor in plain[1].state().items()})
    layout = aligned[0].values_layout
    for name, tensor in plain[1].state().items():
        vector = aligned[1].state()[name]
        assert torch.equal(layout.packed(vector), 2 * tensor)
    gaps = torch.ones(layout.size, dtype=torch.bool)
    for begin, end in layout.ranges:
        gaps[begin:end] = False
    assert gaps.any()
    assert not aligned[0].values[gaps].any()


def test_skipped_update_changes_nothing_whatever_the_gradients_are() -> None:
    model = network()
    flat = FlatParameters(model)
    optimizer = RMSProp(flat)
    differentiate(model, flat, 0)
    optimizer.step(torch.tensor(0.01), skipped=torch.tensor(0.0))
    before = [flat.values.clone(), *(tensor.clone() for tensor in optimizer.state().values())]
    flat.grads.copy_(torch.where(torch.arange(len(flat.grads)) % 2 == 0, torch.inf, torch.nan))
    optimizer.step(torch.tensor(0.01), skipped=torch.tensor(1.0))
    after = [flat.values, *optimizer.state().values()]
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_update_that_is_not_skipped_is_the_same_as_one_that_cannot_be() -> None:
    vectors = []
    for skipped in (None, torch.tensor(0.0)):
        model = network()
        flat = FlatParameters(model)
        differentiate(model, flat, 0)
        RMSProp(flat).step(torch.tensor(0.01), skipped=skipped)
        vectors.append(flat.values)
    assert torch.equal(*vectors)


def reference_step(
    parameters: list[torch.Tensor], state: list[dict[str, torch.Tensor]], rate: float, decay: float
) -> None:
    """TensorFlow's ApplyRMSProp, a parameter at a time, with L2 in the loss's gradient."""
    for parameter, slots in zip(parameters, state, strict=True):
        gradient = parameter.grad + (decay * parameter if parameter.dim() > 1 else 0)  # type: ignore[operator]
        slots["ms"] = 0.9 * slots["ms"] + 0.1 * gradient**2
        slots["mom"] = 0.9 * slots["mom"] + rate * gradient / (slots["ms"] + 1e-3).sqrt()
        parameter.data = parameter.data - slots["mom"]


@pytest.mark.parametrize("fused", [False, True])
def test_20_steps_of_rmsprop_equal_a_written_out_reference(fused: bool) -> None:
    model, twin = network(), network()
    flat = FlatParameters(model)
    optimizer = RMSProp(flat, decay=0.9, momentum=0.9, epsilon=1e-3, weight_decay=1e-2, fused=fused)
    parameters = list(twin.parameters())
    state = [{"ms": torch.ones_like(p), "mom": torch.zeros_like(p)} for p in parameters]
    for i in range(20):
        rate = 0.01 * (1 + i % 3)  # the form matters when the learning rate changes
        differentiate(model, flat, i)
        optimizer.step(torch.tensor(rate))
        twin.zero_grad()
        loss_of(twin, i).backward()
        reference_step(parameters, state, rate, 1e-2)
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(own.data, other.data, rtol=1e-4, atol=1e-6)


def test_first_step_of_our_rmsprop_is_far_smaller_than_torchs() -> None:
    model, twin = network(), network()
    flat = FlatParameters(model)
    optimizer = RMSProp(flat, weight_decay=0.0)
    torchs = torch.optim.RMSprop(twin.parameters(), lr=0.01, alpha=0.9, eps=1e-3, momentum=0.9)
    differentiate(model, flat, 0)
    optimizer.step(torch.tensor(0.01))
    loss_of(twin, 0).backward()
    torchs.step()
    start = network()
    ours = sum((a - b).abs().sum() for a, b in zip(model.parameters(), start.parameters(), strict=True))
    theirs = sum((a - b).abs().sum() for a, b in zip(twin.parameters(), start.parameters(), strict=True))
    assert theirs > 2.5 * ours  # torch's mean square starts at 0, so its first steps are far larger


def test_optimizer_continues_exactly_from_a_saved_state() -> None:
    model = network()
    flat = FlatParameters(model)
    optimizer, average = RMSProp(flat), WeightAverage(flat, decay=0.99)

    def train(steps: range) -> torch.Tensor:
        for i in steps:
            differentiate(model, flat, i)
            optimizer.step(torch.tensor(0.01))
            average.update()
        return flat.values.clone()

    train(range(3))
    kept = {name: tensor.clone() for name, tensor in optimizer.state().items()}
    averaged = {name: tensor.clone() for name, tensor in average.state().items()}
    values, statistics = flat.values.clone(), flat.statistics.clone()
    first, first_average = train(range(3, 6)), average.values.clone()
    optimizer.load(kept)
    average.load(averaged)
    flat.values.copy_(values)
    flat.statistics.copy_(statistics)
    assert torch.equal(train(range(3, 6)), first)
    assert torch.equal(average.values, first_average)


def test_weight_averaging_ramps_up_as_in_tensorflow() -> None:
    flat = FlatParameters(network())
    average = WeightAverage(flat, decay=0.5)
    expected = flat.values.clone()
    for t in range(12):
        flat.values.add_(0.1)
        decay = min(0.5, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * flat.values
        average.update()
    torch.testing.assert_close(average.values, expected)


def test_averaged_weights_are_swapped_in_with_statistics_and_back() -> None:
    model = network()
    flat = FlatParameters(model)
    average = WeightAverage(flat, decay=0.5)
    start = model.state_dict()["0.weight"].clone()
    flat.values.add_(1.0)
    flat.statistics.add_(2.0)
    live = (flat.values.clone(), flat.statistics.clone())
    with average.swapped():
        torch.testing.assert_close(model.state_dict()["0.weight"], start)
        assert not torch.equal(flat.statistics, live[1])
    assert torch.equal(flat.values, live[0])
    assert torch.equal(flat.statistics, live[1])


def full_recipe(**changes: object) -> Recipe:
    values = {"epochs": 350, "batch_size": 4096, "resolution": Ramp(300, 300), "learning_rate": 0.016}
    return Recipe(**{**values, "schedule": "exponential_staircase", "warmup_epochs": 5, **changes})  # type: ignore[arg-type]


def test_staircase_of_learning_rates_is_the_papers() -> None:
    """0.256 at batch 4096, times 0.97 every 2.4 epochs, counted from step 0; warm-up replaces 5 epochs."""
    recipe, steps = full_recipe(), 300

    def at(epoch: float) -> float:
        step = round(epoch * steps)
        return learning_rate_at(step, recipe=recipe, steps_per_epoch=steps, total_steps=350 * steps)

    assert at(0) == 0.0
    assert at(2.5) == pytest.approx(0.128)
    assert at(4.99) == pytest.approx(0.256, rel=3e-3)
    assert at(5) == pytest.approx(0.24087, abs=1e-5)
    assert at(349.99) == pytest.approx(0.003091, abs=1e-6)
    assert at(7.19) == at(5)
    assert at(7.21) == pytest.approx(0.256 * 0.97**3)


def test_cosine_of_learning_rates_ends_at_zero_and_counts_warm_up() -> None:
    recipe = full_recipe(schedule="cosine", epochs=10, warmup_epochs=1)
    rates = [learning_rate_at(i, recipe=recipe, steps_per_epoch=10, total_steps=100) for i in range(100)]
    assert rates[:3] == pytest.approx([0, 0.0256, 0.0512])
    assert rates[10] == pytest.approx(0.256 * 0.5 * (1 + math.cos(math.pi / 10)))
    assert rates[50] == pytest.approx(0.128)
    assert rates[99] < 0.0001


def test_cosine_with_a_decay_share_falls_from_a_plateau() -> None:
    recipe = full_recipe(schedule="cosine", epochs=10, warmup_epochs=1, decay_share=0.4)
    rates = [learning_rate_at(i, recipe=recipe, steps_per_epoch=10, total_steps=100) for i in range(100)]
    assert rates[5] == pytest.approx(0.128)
    assert rates[10:61] == pytest.approx([0.256] * 51)
    assert rates[80] == pytest.approx(0.128)
    assert rates[70] == pytest.approx(0.256 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert rates[99] < 0.001


def test_constant_learning_rate_stays_at_its_peak() -> None:
    constant = full_recipe(schedule="constant", warmup_epochs=0)
    assert learning_rate_at(77, recipe=constant, steps_per_epoch=10, total_steps=100) == pytest.approx(0.256)
