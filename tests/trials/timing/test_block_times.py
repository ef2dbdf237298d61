"""Blocks are measured inside real steps; sums of them predict networks; tables of elsewhere are refused."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from block_tables import RESOLUTION, made_up_parts, made_up_table, made_up_time, small_space, space_blocks
from timing_rounds import few_rounds

from search_spaces.choices.block_cover import covering_networks, placed_blocks
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, read_yaml
from trials.recipe import Ramp, Recipe
from trials.timing import step_parts
from trials.timing.block_fit import fit_corrections, fit_table, part_times
from trials.timing.block_table import (
    check_table,
    default_table_path,
    read_table,
    space_id,
    table_text,
    write_table,
)
from trials.timing.block_times import BlockMeasurement, measure_block_times, table_conditions
from trials.timing.step_parts import marked, measure_step_parts, medians_of
from trials.training.step import build_step
from trials.training.synthetic_batch import SyntheticBatch

SPACES = sorted(path.stem for path in SearchSpace.SHIPPED.glob("*.yaml"))
RESOLUTIONS = {"tiny": 32, "cifar": 32, "paper": 192, "wide": 224}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def small() -> SearchSpace:
    return small_space()


@pytest.fixture(scope="module")
def tiny() -> SearchSpace:
    return read_yaml(SearchSpace, "tiny")


def ticks() -> Callable[[], float]:
    """A clock that is a second later whenever somebody looks."""
    return map(float, itertools.count()).__next__


def recipe(batch_size: int = 2, resolution: int = 16) -> Recipe:
    return Recipe(
        epochs=1, batch_size=batch_size, resolution=Ramp(resolution, resolution), averaging_decay=0.99
    )


# ---------------------------------------------------------------------- which blocks


@pytest.mark.parametrize("name", [*SPACES, "small"])
def test_every_block_of_a_space_is_in_a_covering_network(name: str, small: SearchSpace) -> None:
    space = small if name == "small" else read_yaml(SearchSpace, name)
    resolution = RESOLUTIONS.get(name, 32)
    rng = np.random.default_rng(0)
    networks = covering_networks(space, resolution=resolution, rng=rng)
    covered = {block for network in networks for block in placed_blocks(network, resolution)}
    assert covered == set(space_blocks(space, resolution))
    choices = space.choice_space()
    drawn = [space.decode(choices.sample(rng)) for _ in range(100)]
    assert {block for network in drawn for block in placed_blocks(network, resolution)} <= covered
    assert len(networks) <= 2 * max(rows.count for rows in space.rows)
    for network in networks:
        space.encode(network)


def test_covering_networks_depend_on_the_seed_alone(tiny: SearchSpace) -> None:
    first, again, other = (
        covering_networks(tiny, resolution=32, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_equal_blocks_that_see_images_of_other_sides_are_told_apart() -> None:
    stage = {"op": "mbconv", "expansion_ratio": 4, "channels": 8, "layers": 1}
    network = from_mapping(
        Architecture,
        {
            "stem_channels": 8,
            "head_channels": 8,
            "stages": [stage, {**stage, "stride": 2}, stage],
        },
        name="net",
    )
    first, strided, last = placed_blocks(network, 33)
    assert (first.side, strided.side, last.side) == (17, 17, 9)
    assert first.block == last.block
    assert first != last


# ---------------------------------------------------------------------- one step in parts


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_time_of_a_step_is_divided_among_stem_blocks_top_and_update(
    small: SearchSpace, precision: str
) -> None:
    """By a clock of one tick a reading every stretch takes one; the stem and the update have two each."""
    architecture = small.decode(small.largest())
    step, reference = (
        build_step(a, recipe(), num_classes=3, device=CPU, precision=precision)
        for a in (architecture, small.reference)
    )
    before = step.state()
    batch = SyntheticBatch.random(batch_size=2, resolution=16, num_classes=3, device=CPU)
    parts = measure_step_parts(step, reference, batch, clock=ticks())
    blocks = len(list(architecture.blocks()))
    ticks_of_reference = parts.reference_seconds
    assert ticks_of_reference == 1
    assert parts.forward == parts.backward == (1.0,) * blocks
    assert (parts.stem, parts.top, parts.update) == (2.0, 1.0, 2.0)
    assert parts.ratio == 2 * blocks + 5
    after = step.state()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_timing_marks_change_no_gradient_and_are_removed_afterwards(small: SearchSpace) -> None:
    step = build_step(small.reference, recipe(), num_classes=3, device=CPU, precision="fp32")
    batch = SyntheticBatch.random(batch_size=2, resolution=16, num_classes=3, device=CPU)
    start = step.state()
    step(batch.images, batch.labels)
    plain = step.parameters.grads.clone()
    step.load(start)
    with marked(step) as (run, calls):
        run(batch.images, batch.labels)
        step(batch.images, batch.labels)
    assert len(calls) == 1
    marks = calls[0]()
    assert marks == sorted(marks)
    assert len(marks) == 2 * len(list(small.reference.blocks())) + 6
    step.load(start)
    step(batch.images, batch.labels)
    assert torch.equal(plain, step.parameters.grads)
    assert len(calls) == 1


def test_one_slow_step_does_not_move_the_medians_of_a_steps_parts() -> None:
    assert medians_of([[0, 1, 3], [0, 1, 3], [0, 1, 90]]) == [1, 2]


# ---------------------------------------------------------------------- measuring


def test_all_blocks_of_a_space_are_measured_once_in_each_cover(
    small: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_rounds(monkeypatch.setattr)
    monkeypatch.setattr(step_parts, "ROUNDS", 1)
    conditions = table_conditions(
        small, recipe(), device_name="x", precision="fp32", batch_size=2, resolution=16, num_classes=3,
        kernels="torch",
    )  # fmt: skip
    wanted = BlockMeasurement(
        space=small, conditions=conditions, recipe=recipe(), device=CPU, covers=2, whole_networks=4
    )
    seen: list[tuple[int, int]] = []
    state, alone = torch.get_rng_state(), 0

    @contextmanager
    def counted() -> Iterator[None]:
        nonlocal alone
        alone += 1
        yield

    table = measure_block_times(
        wanted, clock=ticks(), on_progress=lambda *done: seen.append(done), alone=counted
    )
    assert torch.equal(state, torch.get_rng_state())
    total = len(table.parted) + len(table.whole)
    assert alone == total  # others get their turn between two networks
    assert seen == [(done, total) for done in range(total + 1)]
    assert len({network.architecture.architecture_id for network in table.whole}) == 4
    times = part_times(table).blocks
    assert set(times) == set(space_blocks(small, 16))
    assert all(time.measurements >= 2 and time.forward == 1.0 for time in times.values())


def test_images_too_small_for_the_space_are_refused(tiny: SearchSpace) -> None:
    conditions = table_conditions(
        tiny, recipe(), device_name="x", precision="fp32", batch_size=2, resolution=8, num_classes=3,
        kernels="torch",
    )  # fmt: skip
    wanted = BlockMeasurement(
        space=replace(tiny, reference=read_yaml(Architecture, "efficientnet-b0")),
        conditions=conditions,
        recipe=recipe(),
        device=CPU,
    )
    with pytest.raises(ValueError, match="images of 8 px are too small"):
        measure_block_times(wanted)


# ---------------------------------------------------------------------- predicting


def test_predicted_step_time_is_the_sum_of_the_parts(tiny: SearchSpace) -> None:
    table = made_up_table(tiny)
    predict = fit_table(table).predict
    architecture = tiny.decode(tiny.largest())
    parts = made_up_parts(architecture)
    by_hand = parts.stem + parts.top + parts.update
    by_hand += sum(sum(made_up_time(placed)) for placed in placed_blocks(architecture, RESOLUTION))
    ratio, error = predict(architecture)
    assert ratio == pytest.approx(by_hand, rel=1e-9)
    assert error == pytest.approx(0, abs=1e-9 * ratio)


def test_every_kernel_ratio_and_activation_has_its_time_in_a_table(tmp_path: Path) -> None:
    stage = {
        "op": ["mbconv", "fused_mbconv"], "kernel_size": [1, 7], "expansion_ratio": [1, 1.05, 3.5],
        "channels": [8, 12], "layers": [0, 2], "activation": ["silu", "relu6"],
    }  # fmt: skip
    ends = {"stem_channels": 8, "head_channels": 16, "activation": "gelu", "reference": "efficientnet-b0"}
    mapping = {**ends, "stages": [stage, {**stage, "layers": 1, "activation": "gelu"}]}
    space = from_mapping(SearchSpace, mapping, name="space.yaml")
    table = made_up_table(space)
    write_table(table, tmp_path / "table.json")
    assert read_table(tmp_path / "table.json") == table
    predict, rng = fit_table(table).predict, np.random.default_rng(0)
    for _ in range(20):
        architecture = space.decode([int(rng.integers(options)) for options in space.num_options])
        assert predict(architecture)[0] == pytest.approx(made_up_parts(architecture).ratio, rel=1e-9)
    other = replace(architecture, stages=(replace(architecture.stages[1], activation="relu"),))
    with pytest.raises(ValueError, match="activation='relu'"):
        predict(other)


def test_prediction_corrects_what_whole_steps_have_in_common(tiny: SearchSpace) -> None:
    fit = fit_table(made_up_table(tiny, whole=20, factor=1.1))
    architecture = tiny.decode(tiny.smallest())
    ratio, error = fit.predict(architecture)
    assert ratio == pytest.approx(1.1 * made_up_parts(architecture).ratio, rel=0.005)
    assert 0 < error < 0.01 * ratio
    assert fit.error < 0.006  # without its correction 0.09


def test_error_bars_of_predictions_are_as_wide_as_the_noise() -> None:
    """Noise of 3 % in what was measured: leave-one-out finds it, and does not fit it."""
    rng = np.random.default_rng(0)
    sums, features = rng.uniform(0.2, 2, 40), rng.uniform(0, 1, (40, 4))
    fit = fit_corrections(sums, features, sums * (1 + 0.03 * rng.standard_normal(40)))
    assert abs(fit.factor(features[0]) - 1) < 0.015
    assert 0.02 < fit.relative_error(features[0]) < 0.045
    outside = features[0] + 5
    assert fit.relative_error(outside) > fit.relative_error(features[0])


def test_leave_one_out_errors_are_a_third_of_those_without_a_correction() -> None:
    rng = np.random.default_rng(1)
    sums, features = rng.uniform(0.2, 2, 12), rng.uniform(0, 1, (12, 2))
    measured = sums * (1.05 + 0.2 * features[:, 0])
    fit = fit_corrections(sums, features, measured)
    assert np.abs(fit.leave_one_out).max() < 0.05
    assert np.abs(fit.leave_one_out).mean() < np.abs(sums / measured - 1).mean() / 3


def test_flagged_networks_take_no_part_in_the_fit(tiny: SearchSpace) -> None:
    table = made_up_table(tiny, whole=8)
    wrong = replace(table.whole[0], step_time_ratio=9.0, timing_flag="spread 40%")
    fit = fit_table(replace(table, whole=(wrong, *table.whole[1:])))
    assert len(fit.corrections.leave_one_out) == 7
    assert fit.error < 1e-9


def test_block_table_with_three_whole_networks_is_too_small_for_the_fit(tiny: SearchSpace) -> None:
    with pytest.raises(ValueError, match="3 networks measured as wholes; the fit needs 4"):
        fit_table(made_up_table(tiny, whole=3))


def test_prediction_for_an_architecture_of_another_space_is_refused(tiny: SearchSpace) -> None:
    predict = fit_table(made_up_table(tiny)).predict
    with pytest.raises(ValueError, match="not in the table's space"):
        predict(read_yaml(Architecture, "efficientnet-b0"))


# ---------------------------------------------------------------------- the file


def test_block_table_reads_back_as_it_was_written(tiny: SearchSpace, tmp_path: Path) -> None:
    table = made_up_table(tiny, factor=1.05)
    path = tmp_path / "new" / "table.json"
    write_table(table, path)
    assert read_table(path) == table
    assert table_text(read_table(path)) == table_text(table)
    assert [entry.name for entry in path.parent.iterdir()] == ["table.json"]
    architecture = tiny.decode(tiny.smallest())
    assert fit_table(read_table(path)).predict(architecture) == fit_table(table).predict(architecture)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a table of block times: it is not JSON"),
        ("[1]", "not a table of block times; build one with nas measure --table"),
        ('{"conditions": {}}', "space"),
        ("\x00", "it is not JSON"),
    ],
)
def test_file_that_is_no_block_table_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_table(tmp_path / "table.json")


def test_missing_or_damaged_block_table_is_refused(tiny: SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_table(tmp_path / "table.json")
    mapping = json.loads(table_text(made_up_table(tiny)))
    mapping["parted"][0]["parts"]["forward"].pop()
    (tmp_path / "table.json").write_text(json.dumps(mapping))
    with pytest.raises(ConfigError, match=r"table.json: parted\[0\]|table.json: .*blocks has times"):
        read_table(tmp_path / "table.json")


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("device_name", "another processor"),
        ("batch_size", 32),
        ("resolution", 64),
        ("precision", "bf16"),
        ("num_classes", 100),
        ("averages_weights", False),
        ("drops_branches", True),
        ("torch", "2.1"),
        ("space_id", "0123456789abcdef"),
        ("optimizer", "adamw"),
    ],
)
def test_block_table_of_other_conditions_is_refused_by_name(
    tiny: SearchSpace, change: str, value: object
) -> None:
    table = made_up_table(tiny)
    check_table(table, table.conditions, name="table.json")
    wanted = replace(table.conditions, **{change: value})
    with pytest.raises(ConfigError) as refused:
        check_table(table, wanted, name="table.json")
    assert f"{change}: the table has" in str(refused.value)
    assert "Build a table for these:  nas measure --table and this search file" in str(refused.value)
    assert default_table_path(wanted) != default_table_path(table.conditions)


def test_limits_do_not_change_a_spaces_identity(tiny: SearchSpace) -> None:
    limited = replace(tiny, limits=replace(tiny.limits, params=10**6))
    assert space_id(limited) == space_id(tiny)
    assert space_id(replace(tiny, head_channels=256)) != space_id(tiny)
    assert space_id(replace(tiny, reference=tiny.decode(tiny.largest()))) != space_id(tiny)
