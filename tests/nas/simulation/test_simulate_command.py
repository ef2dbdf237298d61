"""nas simulate: tables and runs in, a comparison of strategies and a picture out; wrong input refused."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import MakeConfig, Nas
from formula import formula_worker, with_real_params
from pictures import PNG
from saved_figures import labelled_lines, saved_figures
from tiny_searches import tiny_search

from analysis.rank_correlation import kendall_tau
from nas.search.search import search
from nas.simulation.comparison import advice
from nas.simulation.outcome_model import modelled_run
from nas.simulation.outcome_table import known_outcomes, read_table, row_named
from search_spaces.settings.config_error import ConfigError
from trials.executors.simulated import simulated
from trials.reward import Reward

PAPER = Reward({"step_time_ratio": -0.07, "params": -0.05})


def columns_of(count: int = 3, **changes: Any) -> dict[str, Any]:
    """A table of 3^count architectures; columns replaced as given, or left out where None."""
    rows = list(product(range(3), repeat=count))
    accuracy = [0.5 + 0.1 * row[0] + 0.05 * row[1] + 0.01 * row[-1] for row in rows]
    columns: dict[str, Any] = {f"layer{i}": [row[i] for row in rows] for i in range(count)}
    columns |= {
        "accuracy": accuracy,
        "params": [1000 * (1 + sum(row)) for row in rows],
        "seconds": [60.0 * (1 + row[0]) for row in rows],
    }
    return {name: values for name, values in (columns | changes).items() if values is not None}


def write(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "table.parquet", **columns_of())


# ---------------------------------------------------------------------- reading tables


def test_columns_of_a_table_are_found_by_name_and_values_become_indices(tmp_path: Path) -> None:
    rows = {"op1": ["b", "a", "a"], "op2": [7, 5, 7], "op10": [True, True, False]}
    path = write(
        tmp_path / "t.parquet",
        note=["x", "y", "z"],
        op10=rows["op10"],
        op2=rows["op2"],
        op1=rows["op1"],
        test_acc=[90.0, 80.0, 70.0],
        flops=[1, 2, 3],
        train_time=[3.0, 2.0, 1.0],
    )
    table = read_table(path, named={})
    assert table.columns == {
        "choices": ("op1", "op2", "op10"),
        "accuracy": ("test_acc",),
        "macs": ("flops",),
        "seconds": ("train_time",),
        "step_time": ("train_time",),
    }
    assert table.options == (("a", "b"), (5, 7), (False, True))
    assert table.choices == ((1, 1, 1), (0, 0, 1), (0, 1, 0))
    assert table.accuracies.tolist() == [pytest.approx([0.9, 0.8, 0.7])]


def test_choices_of_a_table_may_be_one_column_of_lists(tmp_path: Path) -> None:
    columns = columns_of(layer0=None, layer1=None, layer2=None)
    rows = [list(row) for row in product(range(3), repeat=3)]
    listed = read_table(write(tmp_path / "a.parquet", **columns, choices=rows), named={})
    assert listed.choices == tuple(map(tuple, rows))
    plain = read_table(write(tmp_path / "b.parquet", **columns_of()), named={})
    assert (listed.choices, listed.options) == (plain.choices, plain.options)


def test_outcomes_of_a_table_are_its_rows_with_rewards_by_ratios_to_medians(table: Path) -> None:
    read = read_table(table, named={})
    known = known_outcomes(read, PAPER)
    seconds, params = read.quantities["seconds"], read.quantities["params"]
    for row, choices in enumerate(read.choices):
        outcome = known.outcome(choices, 0, row)
        ratios = seconds[row] / np.median(seconds), params[row] / np.median(params)
        assert outcome.accuracy == pytest.approx(read.accuracies[0, row])
        assert (outcome.step_time_ratio, outcome.params) == pytest.approx(ratios)
        assert outcome.reward == pytest.approx(outcome.accuracy * ratios[0] ** -0.07 * ratios[1] ** -0.05)
        assert known.expected_reward(choices) == pytest.approx(outcome.reward)
        assert known.seconds(choices) == seconds[row]
        assert known.space.known(choices) == {"params": pytest.approx(ratios[1])}
    assert known.best == pytest.approx(max(known.expected_reward(choices) for choices in read.choices))


def test_a_reference_row_multiplies_all_rewards_by_one_constant(table: Path) -> None:
    read = read_table(table, named={})
    medians = known_outcomes(read, PAPER)
    named = known_outcomes(read, PAPER, reference=row_named(read, "2, 0,1"))
    assert named.outcome((2, 0, 1), 0, 0).step_time_ratio == 1.0
    factors = [named.expected_reward(choices) / medians.expected_reward(choices) for choices in read.choices]
    assert factors == pytest.approx([factors[0]] * 27)


def test_trial_of_a_table_draws_one_of_several_runs_and_is_judged_by_their_mean(tmp_path: Path) -> None:
    base = np.array(columns_of()["accuracy"])
    path = write(
        tmp_path / "t.parquet", **columns_of(accuracy=None), acc_0=base, acc_1=base + 0.01, acc_2=base - 0.04
    )
    read = read_table(path, named={"accuracy": "acc_*"})
    known = known_outcomes(read, Reward({}))
    choices = read.choices[5]
    seen = {round(known.outcome(choices, 3, trial_id).accuracy - base[5], 6) for trial_id in range(40)}
    assert seen == {0.0, 0.01, -0.04}
    assert known.outcome(choices, 3, 7) == known.outcome(choices, 3, 7)
    assert known.expected_reward(choices) == pytest.approx(base[5] - 0.01)
    one = known_outcomes(read, Reward({}), runs=[1], expected_accuracies=base)
    assert one.outcome(choices, 0, 0).accuracy == pytest.approx(base[5] + 0.01)
    assert one.expected_reward(choices) == pytest.approx(base[5])


def test_incomplete_table_is_a_space_of_its_rows(tmp_path: Path) -> None:
    columns = {name: values[:10] for name, values in columns_of().items()}
    known = known_outcomes(read_table(write(tmp_path / "t.parquet", **columns), named={}), PAPER)
    assert known.space.size == 10
    assert not known.space.is_allowed((2, 2, 2))


# ---------------------------------------------------------------------- the command on tables


def test_simulate_command_compares_strategies_and_draws_their_curves(
    nas: Nas, table: Path, tmp_path: Path
) -> None:
    with saved_figures() as figures:
        code, out, err = nas("simulate", table, "--seeds", 3, "--workers", 3)
    assert code == 0, err
    (axes,) = figures[0].axes
    for name, curve in labelled_lines(axes).items():
        assert name in out
        assert curve[:, 0].tolist() == list(range(1, len(curve) + 1))
        assert (curve[:, 1] >= -1e-12).all()  # regret; a recommendation by expectation may be a worse one
        assert curve[-1, 1] <= curve[0, 1]
    assert len(axes.lines) == len(axes.collections) >= 2  # each with its interval
    assert "random_search" in out
    assert "evolution" in out
    assert "regret" in out
    assert "27 architectures, 3 decisions" in out
    assert max(len(line.rstrip()) for line in out.splitlines() if "   " in line) <= 80  # of tables
    assert (tmp_path / "table-simulated.png").read_bytes()[:8] == PNG


def test_json_of_a_simulation_holds_rewards_intervals_and_regrets(
    nas: Nas, table: Path, tmp_path: Path
) -> None:
    code, out, err = nas(
        "simulate", table, "--strategies", "evolution,random_search", "--trials", 25, "--seeds", 8, "--json",
        "--set", "evolution.population=5", "--set", "evolution.tournament=2", "-o", tmp_path / "a.png",
        "--reward", "params=-0.1", "--reward", "step_time_ratio=0",
    )  # fmt: skip
    assert code == 0, err
    figures = json.loads(out)
    assert list(figures["strategies"]) == ["evolution", "random_search"]
    assert figures["reward"] == {"params": -0.1, "step_time_ratio": 0.0}
    assert (figures["trials"], figures["seeds"], figures["workers"]) == (25, 8, 1)
    for of in figures["strategies"].values():
        assert list(of["at"]) == ["20", "25"]
        for at in of["at"].values():
            assert at["regret"] == pytest.approx(figures["best_reward"] - at["reward"])
            assert at["regret"] >= 0
            assert at["half_width"] >= 0
        assert of["simulated_seconds"] > 25 * 60
    assert (tmp_path / "a.png").is_file()
    again = json.loads(nas(
        "simulate", table, "--strategies", "evolution,random_search", "--trials", 25, "--seeds", 8, "--json",
        "--set", "evolution.population=5", "--set", "evolution.tournament=2", "-o", tmp_path / "a.png",
        "--reward", "params=-0.1", "--reward", "step_time_ratio=0",
    )[1])  # fmt: skip
    assert again == figures


def test_simulation_of_one_seed_has_no_interval(nas: Nas, table: Path) -> None:
    code, out, _ = nas("simulate", table, "--strategies", "random_search", "--seeds", 1, "--reward", "none")
    assert code == 0
    assert "±" not in out
    assert "reward: accuracy\n" in out


def test_simulating_as_many_trials_as_rows_leaves_no_regret(nas: Nas, table: Path) -> None:
    _, out, _ = nas("simulate", table, "--trials", 27, "--seeds", 2, "--json")
    for of in json.loads(out)["strategies"].values():
        assert of["at"]["27"]["regret"] == pytest.approx(0)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"seconds": None}, (), "--column seconds=COLUMN"),
        ({"accuracy": None}, (), "--column accuracy=COLUMN"),
        ({}, ("--column", "accuracy=acuracy"), "did you mean 'accuracy'"),
        ({}, ("--column", "secnds=seconds"), "did you mean 'seconds'"),
        ({}, ("--column", "seconds"), "role=COLUMN"),
        ({}, ("--column", "params=layer*"), "name one of them"),
        ({"params": None}, (), "no column of params"),
        ({"layer1": None, "layer2": None}, (), "which columns are choices"),
        ({"op0": [0] * 27, "op1": [0] * 27}, (), "op0..op1"),
        ({"layer2": [0] * 27}, (), "rows 0 and 1 have the same choices"),
        ({"layer2": [None, *range(26)]}, (), "needs a value"),
        ({"accuracy": [0.5] * 26 + [float("nan")]}, (), "row 26 has no finite number"),
        ({"accuracy": [0.5] * 26 + [-0.1]}, (), "an accuracy is 0 to 1"),
        ({"accuracy": ["high"] * 27}, (), "holds string; numbers"),
        ({"seconds": [0.0, *[1.0] * 26]}, (), "above 0 is expected"),
        ({}, ("--trials", "28"), "--trials 27 or fewer"),
        ({}, ("--strategies", "evolutoin"), "did you mean 'evolution'"),
        ({}, ("--set", "population=3"), "strategy.setting=value"),
        ({}, ("--set", "evolution.popluation=3"), "did you mean 'population'"),
        ({}, ("--set", "evolution.population=0"), "at least 1"),
        ({}, ("--set", "hyperband.seed=0"), "not simulated"),
        ({}, ("--reward", "latency=-1"), "latency is not measured"),
        ({}, ("--reward", "params=low"), "quantity=exponent"),
        ({}, ("--reward", "params=nan"), "must be between"),
        ({}, ("--reward", "macs=-0.1"), "no column of macs"),
        ({}, ("--reward", "inference_time_ratio=-0.1"), "a table has no inference_time_ratio"),
        ({}, ("--reference", "0,0"), "a row's choices are like 0,0,0"),
        ({}, ("--reference", "0,0,9"), "no such row"),
        ({}, ("--output", "table.parquet/a.png"), "table.parquet is a file"),
        ({}, ("--output", "notes.txt"), "no PNG"),
        ({}, ("--workers", "0"), "--workers"),
        ({}, ("--seeds", "0"), "--seeds"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_input_of_simulate_exits_with_2_and_a_sentence_and_leaves_nothing(
    changes: dict[str, Any], options: tuple[str, ...], words: str, nas: Nas, tmp_path: Path
) -> None:
    path = write(tmp_path / "table.parquet", **columns_of(**changes))
    (tmp_path / "notes.txt").write_text("mine")
    code, out, err = nas("simulate", path, "--seeds", 2, *options)
    assert code == 2, out + err
    assert words in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} == {"table.parquet", "notes.txt"}


def test_simulating_what_is_no_table_and_no_run_is_refused(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no parquet")
    (tmp_path / "empty").mkdir()
    pq.write_table(pa.table({name: [] for name in columns_of()}), tmp_path / "none.parquet")
    for source, words in (
        ("nowhere", "no such file or run directory"),
        ("a.parquet", "not a readable Parquet file"),
        ("empty", "not a run directory"),
        ("none.parquet", "no rows"),
    ):
        code, _, err = nas("simulate", source, "--reward", "none")
        assert (code, words in err) == (2, True), err


# ---------------------------------------------------------------------- on a run


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of 40 trials that compute a formula."""
    config = tiny_search(budget={"trials": 40}, strategy={"name": "random_search"})
    folder = tmp_path_factory.mktemp("simulate") / "run"
    search(
        config, folder, execute=simulated(workers=2), start=with_real_params(formula_worker), num_classes=10
    )
    return folder


def test_a_run_is_simulated_from_a_model_whose_tau_is_shown(nas: Nas, finished_run: Path) -> None:
    words = ("--seeds", 2, "--trials", 20)
    code, out, err = nas("simulate", finished_run, *words)
    assert code == 0, err
    assert "leave-one-out Kendall tau" in out
    assert "the best that any search found" in out
    assert max(len(line.rstrip()) for line in out.splitlines() if "   " in line) <= 80  # of tables
    words = (*words, "--strategies", "random_search,evolution", "--json")
    figures = json.loads(nas("simulate", finished_run, *words)[1])
    assert figures["kind"] == "run"
    assert figures["baseline"] == 3
    assert figures["model"]["rows"] == 40
    assert figures["model"]["kendall_tau"]["accuracy"] > 0.5
    best = max(at["reward"] for of in figures["strategies"].values() for at in of["at"].values())
    assert best <= figures["best_reward"]


def test_model_of_a_run_follows_its_accuracies_and_times(finished_run: Path) -> None:
    modelled = modelled_run(finished_run)
    known = modelled.known
    rng = np.random.default_rng(0)
    drawn = [known.space.sample(rng) for _ in range(100)]
    formula = [sum((i + 1) * choice for i, choice in enumerate(choices)) for choices in drawn]
    accuracy = [np.mean([known.outcome(c, seed, 0).accuracy for seed in range(5)]) for c in drawn]
    assert kendall_tau(formula, accuracy) > 0.7
    assert known.outcome(drawn[0], 0, 0) == known.outcome(drawn[0], 0, 0)
    assert known.outcome(drawn[0], 0, 0) != known.outcome(drawn[0], 0, 1)
    assert {round(known.outcome(c, 0, 0).step_time_ratio, 6) for c in drawn} == {1.5}
    assert {round(known.seconds(c), 6) for c in drawn} == {2.2}
    assert modelled_run(finished_run, terms={}).known.expected_reward(drawn[0]) != known.expected_reward(
        drawn[0]
    )


def test_options_of_tables_are_refused_for_a_run(nas: Nas, finished_run: Path) -> None:
    code, _, err = nas("simulate", finished_run, "--column", "seconds=train_seconds")
    assert (code, "are for tables" in err) == (2, True)
    code, _, err = nas("simulate", finished_run, "--reward", "inference_time_ratio=-0.1")
    assert (code, "did not measure inference_time_ratio" in err) == (2, True)


def test_run_of_a_few_trials_is_refused_as_ground_for_a_model(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(budget={"trials": 5})
    search(config, tmp_path / "run", execute=simulated(), start=formula_worker, num_classes=10)
    with pytest.raises(ConfigError, match="5 completed trials; a model of them needs at least 12"):
        modelled_run(tmp_path / "run")


def test_simulation_does_not_count_repeats_of_finalists_as_trials(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(
        budget={"trials": 16}, finalists={"count": 2, "repeats": 3}, strategy={"name": "random_search"}
    )
    start = with_real_params(formula_worker)
    rows = search(config, tmp_path / "run", execute=simulated(), start=start, num_classes=10).rows
    assert sum(row["purpose"] == "repeat" for row in rows) == 6
    assert modelled_run(tmp_path / "run").counted == 16


# ---------------------------------------------------------------------- advice


def test_advice_on_strategies_is_the_paired_difference_to_the_runs_own() -> None:
    luck = np.array([0.0, 0.1, 0.2, 0.3])
    rewards = {"a": luck + 0.5, "b": luck + 0.6 + np.array([0, 0.01, 0, 0.01]), "c": luck + 0.55}
    found = advice(rewards, "a")
    assert found is not None
    assert (found.best, found.over, found.over_is_the_runs) == ("b", "a", True)
    assert found.difference == pytest.approx(0.105)
    assert found.half_width < 0.02
    by_itself = advice(rewards, "b")
    assert by_itself is not None
    assert (by_itself.best, by_itself.over) == ("b", "c")
    assert advice({"a": luck}, "a") is None


def test_simulate_screen_advises_in_one_sentence(nas: Nas, finished_run: Path, table: Path) -> None:
    words = ("--trials", 15, "--seeds", 4, "--strategies", "random_search,evolution,predictor")
    code, out, err = nas("simulate", finished_run, *words)
    assert code == 0, err
    out = " ".join(out.split())
    assert "At 15 trials" in out
    assert "by this log's model" in out
    assert "±" in out.partition("At 15 trials")[2]
    assert "on this table" in " ".join(nas("simulate", table, *words)[1].split())
    one_search = nas("simulate", table, *words[:2], "--seeds", 1, *words[4:])[1]
    assert "In this one search" in one_search
    alone = nas("simulate", table, *words[:4], "--strategies", "evolution")[1]
    assert "would do best" not in alone
