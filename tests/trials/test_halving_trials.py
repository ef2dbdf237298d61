"""Successive halving of real trials: states that are kept, what the screen says, and its simulation."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeConfig, Nas
from formula import with_real_params
from halving_searches import essential_columns, halving_config, learning_worker
from screens import screen_text
from tiny_searches import tiny_search

from nas.events import RowWritten
from nas.report.page import write_report
from nas.results.summary import search_summary
from nas.screens.summary import summary_screen
from nas.search.config import SearchConfig
from nas.search.kept_checkpoints import KeptCheckpoints
from nas.search.search import SearchResult, search
from nas.simulation.outcome_model import modelled_run
from search_spaces.settings.config_error import ConfigError
from trials.checkpoint import TrialCheckpoint
from trials.executors.in_process import in_process
from trials.executors.simulated import simulated
from trials.log.file_names import CHECKPOINTS_FOLDER
from trials.trial import Trial


def real_config(make_config: MakeConfig, **changes: Any) -> SearchConfig:
    recipe = {
        "epochs": 4, "batch_size": 64, "resolution": 16, "flip": False, "schedule": "constant",
        "averaging_decay": 0.9, "warmup_epochs": 0.5,
    }  # fmt: skip
    mapping: dict[str, Any] = {
        "data": {"source": "digits", "fraction": 0.2},
        "recipe": recipe,
        "strategy": {"name": "successive_halving", "over": "random_search", "eta": 2, "min_epochs": 1},
        "baseline": 2,
        "budget": {"trials": 7},
    }
    return make_config(**{**mapping, **changes})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """A search of real trials whose rewards no timing changes."""
    config = real_config(tiny_search, reward={"params": -0.05})
    return search(config, tmp_path_factory.mktemp("whole") / "run", execute=in_process(device="cpu"))


def test_real_trials_go_on_from_kept_states_which_go_when_the_search_ends(whole: SearchResult) -> None:
    result = whole
    promoted = [row for row in result.rows if row["continues"] is not None]
    rows = {row["trial_id"]: row for row in result.rows}
    assert promoted
    for row in promoted:
        before = rows[row["continues"]]
        assert row["minival_accuracy"][: before["epochs"]] == before["minival_accuracy"]
        assert row["train_seconds"] > 0
    assert not (result.folder / CHECKPOINTS_FOLDER).exists()


def test_a_stopped_search_goes_on_from_kept_states_and_trains_again_what_is_missing(
    whole: SearchResult, tmp_path: Path
) -> None:
    config = real_config(tiny_search, reward={"params": -0.05})

    def stop_after_five(event: object) -> None:
        if isinstance(event, RowWritten) and event.row["trial_id"] == 4:
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        search(config, folder, execute=in_process(device="cpu"), on_event=stop_after_five)
    kept = sorted((folder / CHECKPOINTS_FOLDER).glob("*.safetensors"))
    assert kept
    kept[0].unlink()
    rows = search(config, folder, execute=in_process(device="cpu")).rows
    assert essential_columns(rows) == essential_columns(whole.rows)
    assert not (folder / CHECKPOINTS_FOLDER).exists()


def test_states_are_kept_for_trials_in_flight_and_those_that_may_be_promoted(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = real_config(make_config)
    space = config.space
    trials = [
        Trial(
            trial_id=i, choices=choices, architecture=space.decode(choices), recipe=config.recipe, epochs=1,
            seed=i,
        )
        for i, choices in enumerate((space.smallest(), space.largest(), space.smallest()))
    ]  # fmt: skip
    wanted: set[int] = {0, 1}
    kept = KeptCheckpoints(tmp_path, config.data, is_own=False, continuable=lambda: wanted)
    files = [TrialCheckpoint(tmp_path, trial, config.data).path for trial in trials]
    for trial, file in zip(trials, files, strict=True):
        file.write_text("state")
        kept.begun(trial)
    kept.prune(set().__contains__)
    assert [file.exists() for file in files] == [True, True, False]
    wanted.clear()
    kept.begun(replace(trials[0], trial_id=9, continues=0, epochs=4, epochs_before=1))
    kept.prune({9}.__contains__)
    assert [file.exists() for file in files] == [True, False, False]  # the one that goes on has the same file
    kept.prune(set().__contains__)
    assert not any(file.exists() for file in files)
    kept.remove_all()
    assert tmp_path.exists()


def test_halving_refuses_a_learning_rate_schedule_that_knows_its_end(
    make_config: MakeConfig, nas: Nas
) -> None:
    with pytest.raises(ConfigError, match=r"set recipe\.schedule=constant"):
        halving_config(
            make_config, recipe={"epochs": 9, "batch_size": 64, "resolution": 16, "averaging_decay": 0.9}
        )
    code, _, error = nas("search", "quick", "--set", "strategy=successive_halving")
    assert code == 2
    assert "recipe.schedule is cosine" in error


def test_screen_and_report_of_a_search_say_what_halving_saved(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = search(halving_config(make_config), run, execute=simulated(), start=learning_worker)
    summary = search_summary(result)
    screen = screen_text(summary_screen(result, summary)).replace("\n", " ")
    text = write_report(run).read_text()
    for words in ("fewer than in whole trainings", "anks after 1 and 9 epochs: Kendall", "3 baseline trials"):
        assert words in screen
        assert words in text
    assert [rung.epochs for rung in summary.rungs] == [1, 3]
    assert summary.epochs_saved is not None
    assert summary.epochs_saved.epochs < summary.epochs_saved.whole


def test_halving_is_simulated_from_runs_with_extensible_curves_alone(
    make_config: MakeConfig, tmp_path: Path, nas: Nas
) -> None:
    start = with_real_params(learning_worker)
    plain_search = halving_config(make_config, strategy="random_search", budget={"trials": 24})
    knows_its_end = make_config(budget={"trials": 24})
    for name, config in (("run", plain_search), ("cosine", knows_its_end)):
        search(config, tmp_path / name, execute=simulated(), start=start, num_classes=10)
    modelled = modelled_run(tmp_path / "run").known
    assert modelled.curve is not None
    choices = modelled.space.sample(np.random.default_rng(0))
    curve = modelled.curve(choices, 0, 5)
    assert len(curve) == 9
    assert curve[-1] == pytest.approx(modelled.outcome(choices, 0, 5).accuracy)
    assert curve[0] < curve[3] < curve[8]
    words = ("--strategies", "random_search,successive_halving", "--seeds", 2, "--trials", 8, "--json")
    code, out, error = nas("simulate", tmp_path / "run", *words)
    assert code == 0, error
    assert set(json.loads(out)["strategies"]) == {"random_search", "successive_halving"}
    code, _, error = nas("simulate", tmp_path / "cosine", *words)
    assert code == 2
    assert "does not tell" in error
    code, out, _ = nas("simulate", tmp_path / "cosine", "--strategies", "all", *words[2:6], "--json")
    assert code == 0
    assert "successive_halving" not in json.loads(out)["strategies"]
