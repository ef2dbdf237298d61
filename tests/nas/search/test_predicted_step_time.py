"""A search by a table of block times: limits before training, predictions for measurements, their error."""

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from block_tables import CLASSES, made_up_table
from clocks import modules_that_take, number_of_weights
from conftest import MakeConfig
from formula import formula_result, formula_worker
from rich.console import Console
from torch.nn import Conv2d

from nas.measuring.measure_table import measure_table_on_console
from nas.results.summary import search_summary
from nas.search.config import SearchConfig, read_search_config
from nas.search.predicted_step_time import open_prediction
from nas.search.search import SearchResult, search
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml, to_mapping
from trials.executors.in_process import in_process
from trials.log.file_names import TABLE_FILE
from trials.log.rows import architecture_from_json
from trials.timing.block_fit import fit_table
from trials.timing.block_table import BlockTable, read_table, write_table
from trials.trial import (
    Event,
    RunTrial,
    Slot,
    StartWorker,
    Trial,
    TrialResult,
    WorkerInfo,
    WorkerJoined,
)

TINY = read_yaml(SearchSpace, "tiny")
RECIPE = {"epochs": 2, "batch_size": 64, "resolution": 32, "flip": False, "averaging_decay": 0.9}


@pytest.fixture(scope="module")
def table() -> BlockTable:
    """Of the tiny space, on the device that `formula_worker` names, under the conditions of RECIPE."""
    return made_up_table(TINY, factor=1.03, device_name="fake device")


@pytest.fixture
def table_file(table: BlockTable, tmp_path: Path) -> Path:
    write_table(table, tmp_path / "table.json")
    return tmp_path / "table.json"


def run(
    config: SearchConfig, folder: Path, worker: Callable[[Slot], RunTrial] = formula_worker
) -> SearchResult:
    return search(config, folder, execute=in_process(), start=worker, num_classes=CLASSES)


def predicting_worker(slot: Slot) -> RunTrial:
    """Trials that take the step time they were given, as real ones do."""

    def run_trial(trial: Trial) -> Iterator[Event]:
        result: TrialResult = formula_result(trial, accuracy=0.5)
        assert result.measurement is not None
        measured = trial.step_time or result.measurement.step_time
        yield replace(result, measurement=replace(result.measurement, step_time=measured))

    return run_trial


def test_rows_of_a_predicted_search_have_predicted_step_times(
    table: BlockTable, table_file: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(recipe=RECIPE, step_time="predicted", step_time_table=str(table_file))
    result = run(config, tmp_path / "run", predicting_worker)
    predict = fit_table(table).predict
    for row in result.rows:
        ratio, error = predict(architecture_from_json(row["architecture"]))
        assert row["timing_source"] == "predicted"
        assert row["timing_device"] == "fake device"
        assert row["step_time_ratio"] == pytest.approx(ratio)
        assert row["step_seconds"] == pytest.approx(ratio * table.reference_seconds)
        assert row["step_time_ratio_spread"] == pytest.approx(2 * 1.2816 * error / ratio)
        if row["status"] == "completed":
            params = row["params"] / row["reference_params"]
            assert row["reward"] == pytest.approx(0.5 * ratio**-0.07 * params**-0.05)
    assert result.prediction_error is None


def test_run_keeps_its_block_table_and_continues_without_the_file(
    table: BlockTable, table_file: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(recipe=RECIPE, step_time_table=str(table_file), budget={"trials": 5})
    first = run(config, tmp_path / "run")
    assert read_table(tmp_path / "run" / TABLE_FILE) == table
    table_file.unlink()
    more = run(replace(config, budget=replace(config.budget, trials=8)), tmp_path / "run")
    assert len(more.rows) > len(first.rows)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        run(config, tmp_path / "another")
    assert not (tmp_path / "another").exists()


def test_the_limit_on_step_time_holds_before_training(
    table: BlockTable, table_file: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    predict = fit_table(table).predict
    rng = np.random.default_rng(0)
    choices = TINY.choice_space()
    limit = float(np.median([predict(TINY.decode(choices.sample(rng)))[0] for _ in range(50)]))
    config = make_config(
        recipe=RECIPE,
        step_time="predicted",
        step_time_table=str(table_file),
        budget={"trials": 20},
        space={**to_mapping(TINY), "limits": {"step_time_ratio": limit}},
    )
    result = run(config, tmp_path / "run", predicting_worker)
    assert max(row["step_time_ratio"] for row in result.rows) <= limit
    assert len(result.rows) >= 20


def test_measuring_search_leaves_out_only_what_is_surely_too_slow(
    table: BlockTable, table_file: Path, make_config: MakeConfig
) -> None:
    given = {"recipe": RECIPE, "step_time_table": str(table_file)}
    measured = open_prediction(make_config(**given), None, num_classes=CLASSES, on_this_device=False)
    predicted = open_prediction(
        make_config(**given, step_time="predicted"), None, num_classes=CLASSES, on_this_device=False
    )
    assert measured is not None
    assert predicted is not None
    architecture = TINY.decode(TINY.largest())
    ratio, error = fit_table(table).predict(architecture)
    assert error > 0
    assert predicted.estimate(architecture) == (ratio, ratio)
    assert measured.estimate(architecture) == (ratio, pytest.approx(ratio - 2 * error))
    assert measured.step_time(architecture) is None
    space = TINY.choice_space(num_classes=CLASSES, resolution=32, step_time=measured.estimate)
    assert space.known(TINY.largest())["step_time"] == ratio
    assert set(space.known(TINY.largest())) == {"params", "macs", "step_time"}


def test_search_tells_how_far_predictions_are_from_measurements(
    table_file: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(recipe=RECIPE, step_time_table=str(table_file))
    result = run(config, tmp_path / "run")
    error = result.prediction_error
    assert error is not None
    trained = {row["architecture_id"] for row in result.rows if row["status"] != "cached"}
    assert error.networks == len(trained)
    assert error.mean > 0  # every formula trial measures 1.5
    figures = search_summary(result)
    assert figures.predicted_networks == error.networks
    assert figures.predicted_step_time_error == error.mean
    assert figures.predicted_step_time_tau is None  # what is equal has no order


def test_step_time_limit_that_nothing_meets_is_refused_before_the_run(
    table_file: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(
        recipe=RECIPE,
        step_time_table=str(table_file),
        space={**to_mapping(TINY), "limits": {"step_time_ratio": 1e-6}},
    )
    with pytest.raises(ConfigError, match="none has a predicted step_time_ratio within 1e-06; raise it"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"recipe": {**RECIPE, "batch_size": 32}}, "batch_size: the table has 64, here it is 32"),
        ({"recipe": {**RECIPE, "averaging_decay": 0.0}}, "averages_weights: the table has True"),
        ({"recipe": {**RECIPE, "optimizer": "sgd"}}, "optimizer: the table has 'rmsprop', here it is 'sgd'"),
        ({"recipe": {**RECIPE, "precision": "bf16"}}, "precision: the table has 'fp32'"),
        ({"timing": {"resolution": 16}}, "resolution: the table has 32, here it is 16"),
        ({"space": "cifar"}, "space_id: the table has"),
    ],
)
def test_search_by_a_block_table_of_other_conditions_is_refused(
    change: dict, told: str, table_file: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(**{"recipe": RECIPE, "step_time_table": str(table_file), **change})
    with pytest.raises(ConfigError) as refused:
        run(config, tmp_path / "run")
    assert told in str(refused.value)
    assert "nas measure --table" in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_block_table_of_another_device_is_refused_only_where_trials_measure(
    table_file: Path, make_config: MakeConfig
) -> None:
    given = {"recipe": {**RECIPE, "precision": "fp32"}, "step_time_table": str(table_file)}
    with pytest.raises(ConfigError, match="device_name: the table has 'fake device'"):
        open_prediction(make_config(**given), None, num_classes=CLASSES, on_this_device=True)
    config = make_config(**given, step_time="predicted")
    assert open_prediction(config, None, num_classes=CLASSES, on_this_device=True) is not None


def test_predicted_step_times_without_a_block_table_are_refused(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match="step_time: predicted, but there is no step_time_table"):
        make_config(step_time="predicted")


@pytest.mark.nightly
def test_measured_block_table_predicts_within_2_percent_and_a_search_takes_it(
    tmp_path: Path, as_a_worker: None
) -> None:
    """The tiny space through the command's own function; a convolution takes seconds by its weights."""
    search = (
        "{space: tiny, data: {source: digits}, strategy: random_search, reward: {}, budget: {trials: 20}, "
        "recipe: {epochs: 1, batch_size: 8, resolution: 16, precision: fp32}, "
        f"step_time_table: {tmp_path / 'table.json'}}}"
    )
    (tmp_path / "mine.yaml").write_text(search)
    nothing = {"num_classes": None, "resolution": None, "batch_size": None, "precision": None}
    more = itertools.cycle([1.0, 1.01, 1.0, 1.02, 1.01])

    def seconds(convolution: Conv2d, images: int) -> float:
        return 1e-7 * images * number_of_weights(convolution) * next(more)

    with modules_that_take(Conv2d, seconds):
        figures = measure_table_on_console(
            str(tmp_path / "mine.yaml"),
            **nothing,
            out=tmp_path / "table.json",
            console=Console(file=io.StringIO()),
        )
    assert figures.leave_one_out_error < 0.02
    config = read_search_config(tmp_path / "mine.yaml")
    prediction = open_prediction(config, None, num_classes=10, on_this_device=True)
    assert prediction is not None
    ratio, error = prediction.fit.predict(config.space.reference)
    assert ratio == pytest.approx(1, abs=0.02)
    assert error > 0


@pytest.mark.parametrize(
    ("counts", "devices", "measured"),
    [
        ("fake device", ["fake device"] * 2, True),
        ("fake device", ["fake device", "elsewhere"], False),
        ("fake device", [], False),
        (None, [], True),
        (None, ["a GPU, which this driver has not"] * 2, True),
        (None, ["a GPU", "another"], False),
    ],
)
def test_finalists_are_measured_where_every_worker_is_on_the_timing_device(
    counts: str | None,
    devices: list[str],
    measured: bool,
    make_config: MakeConfig,
    table_file: Path,
    tmp_path: Path,
) -> None:
    joined = [WorkerJoined(slot=i, info=worker_info(name)) for i, name in enumerate(devices)]

    def execute(start: StartWorker, trials: Iterable[Trial | None]) -> Iterator[Event]:
        yield from joined
        yield from in_process()(start, trials)

    config = make_config(
        recipe=RECIPE,
        step_time="predicted",
        step_time_table=str(table_file),
        finalists={"count": 1, "repeats": 1},
        timing={"device": counts} if counts else {},
        budget={"trials": 4},
    )
    rows = search(
        config, tmp_path / "run", execute=execute, start=predicting_worker, num_classes=CLASSES
    ).rows
    sources = {row["timing_source"] for row in rows if row["purpose"] == "repeat"}
    assert sources == {"measured" if measured else "predicted"}


def worker_info(device_name: str) -> WorkerInfo:
    return WorkerInfo(device_name=device_name, host="h", pid=1, node_id="n", versions={})
