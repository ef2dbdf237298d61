"""The cost of a search: sums, what-ifs, nothing written; and that real trials cost what is said."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from block_tables import made_up_table
from clocks import number_of_weights, passes_that_take
from conftest import Nas
from screens import screen_text

import nas.estimating.estimated_trials as estimated_trials
from nas.estimating.estimated_trials import ImageCounts, TrialBench, TrialCost, drawn_costs, trial_bench
from nas.estimating.figures import SearchEstimate
from nas.estimating.search_estimate import image_counts, read_assumptions, summed
from nas.screens.estimate import estimate_screen
from nas.search.config import SearchConfig, read_search_config
from search_spaces.settings.config_error import ConfigError
from trials.timing import alternating
from trials.timing.block_fit import fit_table
from trials.timing.block_table import TableConditions, default_table_path, write_table
from trials.training.step import kernels_of_steps

IMAGES = ImageCounts(train=1000, minival=100, classes=10)


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks, a few steps of each."""
    monkeypatch.setattr(estimated_trials, "SECONDS", 0.0)
    monkeypatch.setattr(estimated_trials, "NETWORKS", 2)


@pytest.fixture
def quick() -> SearchConfig:
    shorter = ["recipe.resolution=16", "recipe.precision=fp32", "budget.trials=12", "baseline=4"]
    return read_search_config("quick", overrides=shorter)


def costs_of(*seconds: float) -> list[TrialCost]:
    return [TrialCost(1.0, 2.0, second - 4.0, 1.0, 0.01) for second in seconds]


def estimate(config: SearchConfig, bench: TrialBench, costs: list[TrialCost], **more: Any) -> SearchEstimate:
    given: dict[str, Any] = {"fit": None, "here": 2, "devices": [], "file": "quick", "seconds": 1.0, **more}
    return summed(config, bench, costs, **given)


def test_estimate_sums_trials_repeats_and_devices(moments: None, quick: SearchConfig) -> None:
    with trial_bench(quick, IMAGES) as bench:
        figures = estimate(quick, bench, costs_of(90.0, 110.0), devices=[64])
    assert figures.trial.seconds.mean == 100
    assert figures.trials == 12
    assert figures.search_device_hours == pytest.approx(12 * 100 / 3600)
    assert figures.repeats_device_hours == pytest.approx(4 * 100 / 3600)
    assert figures.device_hours == pytest.approx(16 * 100 / 3600)
    here, many = figures.devices
    assert (here.devices, here.here, many.devices, many.here) == (2, True, 64, False)
    assert here.hours == pytest.approx((6 + 2) * 100 / 3600)
    assert many.hours == pytest.approx((1 + 1) * 100 / 3600)  # more devices than trials help no more
    half = 12.706205 * math.sqrt(200) * math.sqrt(1 / 2 + 1 / 12) * 12 / 3600  # Student's t of one degree
    assert figures.device_hours_half_width == pytest.approx(half * 16 / 12)


def test_longer_trainings_of_finalists_are_estimated_by_their_epochs(moments: None) -> None:
    """A trial of 8 epochs takes 100 s, 97 of which grow with them; ten longer ones here are five rounds."""
    config = read_search_config(
        "quick",
        overrides=[
            "recipe.resolution=16",
            "recipe.precision=fp32",
            "finalists={count: 10, epochs: 24}",
            "budget.trials=12",
        ],
    )
    with trial_bench(config, IMAGES) as bench:
        figures = estimate(config, bench, costs_of(90.0, 110.0))
    each = 3 + 3 * 97
    assert (figures.repeats, figures.repeat_epochs, figures.epochs_per_trial) == (10, 24, 8)
    assert figures.repeats_device_hours == pytest.approx(10 * each / 3600)
    assert figures.devices[0].hours == pytest.approx((6 * 100 + 5 * each) / 3600)
    assert "10 trainings of finalists, 24 epochs each" in screen_text(estimate_screen(figures))


@pytest.mark.parametrize(
    ("budget", "trials"), [("{epochs: 60}", 8), ("{device_seconds: 3600}", 36)], ids=["epochs", "seconds"]
)
def test_estimate_counts_trials_of_budgets_in_epochs_and_seconds(
    moments: None, budget: str, trials: float
) -> None:
    config = read_search_config(
        "quick", overrides=[f"budget={budget}", "recipe.resolution=16", "recipe.precision=fp32"]
    )
    with trial_bench(config, IMAGES) as bench:
        figures = estimate(config, bench, costs_of(90.0, 110.0))
    assert figures.trials == trials
    assert figures.search_device_hours == pytest.approx(trials * 100 / 3600)


def test_estimated_cost_of_a_trial_is_its_steps_evaluation_and_timing(
    moments: None, quick: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass takes 10 ms for each image: training one, judging by raw and by averaged weights two."""
    with passes_that_take(lambda network, images: 0.01 * images), trial_bench(quick, IMAGES) as bench:
        cost = bench.reference
        predicted = replace(quick, step_time="predicted", step_time_table="table.json")
        bench.config = predicted
        assert bench.timing_seconds(1.0, 1.0) == 0
        bench.config = quick
        steps = quick.recipe.epochs * (1000 // quick.recipe.batch_size)
        assert cost.step_seconds == pytest.approx(0.01 * quick.recipe.batch_size)
        assert cost.train_seconds == pytest.approx(steps * cost.step_seconds)
        assert cost.evaluate_seconds == pytest.approx(2 * 0.01 * IMAGES.minival * quick.recipe.epochs)
        assert cost.build_seconds == 0
        assert bench.slowed_down == pytest.approx(1)
        assert cost.seconds == pytest.approx(
            cost.build_seconds + cost.timing_seconds + cost.train_seconds + cost.evaluate_seconds
        )
        twice = bench.cost_by_ratio(2.0)
        assert twice.train_seconds == 2 * cost.train_seconds
        monkeypatch.setattr(alternating, "CHUNK_SECONDS", 0.025)  # tests have fewer and shorter rounds
        # 12 rounds of chunks of 25 ms; of slow steps 5 % of the training
        assert bench.timing_seconds(0.001, 0.001) == pytest.approx(12 * 0.05)
        assert bench.timing_seconds(10.0, 10.0) == pytest.approx(max(60.0, 0.05 * steps * 10))


def test_a_batch_too_large_for_a_cpu_is_timed_in_part(
    moments: None, quick: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    if estimated_trials.available_slots()[0].device != "cpu":
        pytest.skip("of CPUs")
    monkeypatch.setattr(estimated_trials, "STEP_SECONDS", 0.0)
    with trial_bench(quick, IMAGES) as bench:
        assert bench.timed_batch_size == estimated_trials.FEWEST_IMAGES
        assert bench.batch_size == quick.recipe.batch_size
        assert bench.reference.step_seconds > 0


def test_a_step_of_few_images_that_is_mostly_overhead_does_not_decide_how_many_are_timed(
    moments: None, quick: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 images take 44 ms: at that pace 0.5 s would hold 32; but 256 take no more than 0.3 s."""
    if estimated_trials.available_slots()[0].device != "cpu":
        pytest.skip("of CPUs")
    config = replace(quick, recipe=replace(quick.recipe, batch_size=256))
    with (
        passes_that_take(lambda network, images: 0.04 + 0.001 * images),
        trial_bench(config, IMAGES) as bench,
    ):
        assert bench.timed_batch_size == bench.batch_size == 256
        assert bench.reference.step_seconds == pytest.approx(0.04 + 0.256)
        monkeypatch.setattr(estimated_trials, "STEP_SECONDS", 0.22)
        assert bench._affordable_batch() == 128


def test_estimate_by_a_block_table_times_only_the_reference(moments: None, quick: SearchConfig) -> None:
    table = made_up_table(quick.space, factor=1.0)
    with trial_bench(quick, IMAGES) as bench:
        space = quick.space.choice_space()
        costs = drawn_costs(
            bench, lambda rng: quick.space.decode(space.sample(rng)), fit=(fit := fit_table(table))
        )
        assert len(costs) == estimated_trials.TABLE_NETWORKS
        rng = np.random.default_rng([quick.seed, 2])
        ratio = fit.predict(quick.space.decode(space.sample(rng)))[0]
        assert costs[0].train_seconds == pytest.approx(ratio * bench.reference.train_seconds)


def test_estimate_finds_the_cached_block_table_of_this_device(
    moments: None, nas: Nas, quick: SearchConfig
) -> None:
    with trial_bench(quick, IMAGES) as bench:
        conditions = {
            "device_name": bench.device_name, "resolution": 16, "num_classes": 10,
            "torch": estimated_trials.torch.__version__,
            "kernels": kernels_of_steps(bench.device, bench.precision),
        }  # fmt: skip
    table = made_up_table(quick.space, **conditions)
    assert isinstance(table.conditions, TableConditions)
    path = default_table_path(table.conditions)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(table, path)
    words = ("--set", "recipe.resolution=16", "--set", "recipe.precision=fp32")
    code, out, _ = nas("search", "quick", *words, "--estimate", "--json")
    path.unlink()
    assert code == 0
    assert json.loads(out)["step_times"] == "a table of block times"


def test_search_with_estimate_prints_a_table_and_writes_nothing(
    moments: None, nas: Nas, tmp_path: Path
) -> None:
    words = ("search", "quick", "--set", "recipe.resolution=16", "--set", "recipe.precision=fp32")
    code, out, err = nas(*words, "--estimate", "--assume", "devices=64", "--workers", "1")
    assert (code, err) == (0, "")
    for expected in ("24 trials of 8 epochs", "4 repeats of finalists", "device-hours", "1 (here)", "64"):
        assert expected in out
    assert (
        max(len(line) for line in out.splitlines() if "   " in line) <= 80
    )  # the table's; sentences are whole
    assert list(tmp_path.iterdir()) == []


def test_estimate_without_images_says_how_to_assume_them(moments: None, nas: Nas) -> None:
    code, _, err = nas("search", "efficientnetv2", "--estimate")
    assert code == 2
    assert "--set data.source=PATH" in err
    assert "--assume images=1281167" in err
    paper = read_search_config("efficientnetv2")
    counts = image_counts(paper, read_assumptions(["images=1281167"]))
    assert counts == ImageCounts(train=1256146, minival=25021, classes=1000, assumed=True)


@pytest.mark.parametrize(
    "word", ["devices", "devices=0", "devices=1.5", "cores=2", "classes=10", "images=-4"]
)
def test_wrong_assumptions_of_an_estimate_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="--assume"):
        read_assumptions([word])


def test_assumptions_without_an_estimate_are_refused(nas: Nas) -> None:
    code, _, err = nas("search", "quick", "--assume", "devices=2")
    assert code == 2
    assert "--estimate" in err


def test_shipped_search_of_the_paper_has_its_space_recipe_and_reward() -> None:
    paper = read_search_config("efficientnetv2")
    assert paper.budget.trials == 1000
    assert (paper.recipe.epochs, paper.recipe.training_stages()[-1].resolution) == (10, 192)
    assert paper.reward == {"step_time_ratio": -0.07, "params": -0.05}
    assert paper.space.size == 78_364_164_096
    percent = read_search_config("efficientnetv2_1pct")
    assert percent.budget.trials == 10
    assert replace(percent, budget=paper.budget, baseline=paper.baseline) == paper


ONE_PERCENT = (
    "search", "efficientnetv2_1pct",
    "--set", "data.source=digits", "--set", "data.minival=0.1", "--set", "recipe.resolution=32",
    "--set", "recipe.batch_size=64", "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0.5",
    "--set", "recipe.precision=fp32",
)  # fmt: skip


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_one_percent_of_the_papers_search_costs_what_was_estimated(nas: Nas, tmp_path: Path) -> None:
    """A pass takes seconds by the network's weights and its images, on clocks that nothing else moves."""
    with passes_that_take(lambda network, images: 1e-9 * images * number_of_weights(network)):
        code, out, err = nas(*ONE_PERCENT, "--estimate", "--json", "--in-process")
        assert code == 0, err
        said = json.loads(out)
        code, out, err = nas(*ONE_PERCENT, "--run", "run", "--in-process", "--json")
        assert code == 0, err
    assert json.loads(out)["trials"] == 10
    import pandas as pd

    rows = pd.read_parquet(tmp_path / "run" / "trials.parquet")
    parts = ["build_seconds", "timing_seconds", "train_seconds", "evaluate_seconds"]
    took = rows[parts].sum().sum() / 3600
    assert took == pytest.approx(said["device_hours"], abs=2 * said["device_hours_half_width"])
