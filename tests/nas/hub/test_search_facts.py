"""Facts of a card from the run that found its architecture: which run that is, and what it says."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from places import GOLDEN
from small_networks import SMALL

from analysis.frame import read_trials
from nas.hub.search_facts import found_run, search_facts, step_time_of
from nas.results.export import best_of_run
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run where runs usually are."""
    return Path(shutil.copytree(GOLDEN / "run_v2", tmp_path / "runs" / "mine"))


@pytest.fixture
def winner(run: Path) -> Architecture:
    """Its winner."""
    return best_of_run(run)[1]


def test_the_run_is_found_where_runs_are_by_its_name_and_its_architecture(
    run: Path, winner: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert winner.provenance is not None
    named = replace(winner, provenance={**winner.provenance, "run": "mine"})
    monkeypatch.chdir(tmp_path)
    assert found_run(named, Path("train/flowers"), given=None) == Path("runs/mine")
    monkeypatch.chdir("/")
    assert found_run(named, tmp_path / "train" / "flowers", given=None) == run
    upwards = replace(winner, provenance={**winner.provenance, "run": "../../runs/mine"})
    assert found_run(upwards, tmp_path / "train" / "flowers", given=None) == run  # its last name alone counts
    assert found_run(winner.without_provenance(), tmp_path / "train" / "flowers", given=None) is None
    elsewhere = replace(SMALL, provenance={"run": "mine"})  # a run of that name, which has not tried it
    assert found_run(elsewhere, tmp_path / "train" / "flowers", given=None) is None


def test_a_given_run_has_to_have_tried_the_architecture(run: Path, winner: Architecture) -> None:
    assert found_run(winner, Path("train"), given=run) == run
    with pytest.raises(ConfigError, match="no completed trial of the architecture"):
        found_run(SMALL, Path("train"), given=run)


def test_facts_are_those_of_the_trials_row_and_the_digest_is_of_all_rows(
    run: Path, winner: Architecture
) -> None:
    facts = search_facts(run, winner)
    rows = read_trials(run)
    row = rows[rows.trial_id == facts.trial_id].iloc[0]
    assert row.architecture_id == winner.architecture_id
    assert facts.step_time is not None
    assert facts.step_time.ratio == row.step_time_ratio
    assert facts.step_time.seconds == row.step_seconds
    assert facts.trials == len(rows)
    assert facts.audit is None
    assert search_facts(run, winner).log_digest == facts.log_digest
    other = search_facts(run, best_of_other(run, facts.trial_id))
    assert (other.log_digest, other.trial_id != facts.trial_id) == (facts.log_digest, True)


def best_of_other(run: Path, trial: int) -> Architecture:
    """The architecture of another completed trial."""
    from nas.results.export import exported_row
    from nas.search.best_file import architecture_of

    rows = read_trials(run)
    wanted = rows[(rows.trial_id == trial)].iloc[0].architecture_id
    others = rows[(rows.status == "completed") & (rows.architecture_id != wanted)]
    return architecture_of(exported_row(run, trial=int(others.iloc[0].trial_id))[0])


def test_step_time_of_a_provenance_that_somebody_edited_is_what_is_a_number() -> None:
    found = step_time_of({"step_time_ratio": 0.5, "step_seconds": "fast", "batch_size": True})
    assert found is not None
    assert (found.ratio, found.seconds, found.batch_size, found.interval) == (0.5, None, None, None)
    for ratio in ("fast", True, float("nan"), float("inf")):
        assert step_time_of({"step_time_ratio": ratio}) is None


@pytest.mark.parametrize(
    "change", [{"trial_id": 10**6}, {"finished_at": "2020-01-01T00:00:00+00:00"}, {"step_time_ratio": 9.5}]
)
def test_another_run_of_that_name_is_not_the_one_that_found_it(
    run: Path, winner: Architecture, tmp_path: Path, change: dict[str, object]
) -> None:
    assert winner.provenance is not None
    recorded = {**winner.provenance, "run": "mine", **change}
    if "step_time_ratio" in change:
        del recorded["selected_by"]  # of a finalist it is the mean of its own trainings
    other = replace(winner, provenance=recorded)
    assert found_run(other, tmp_path / "train" / "flowers", given=None) is None
    with pytest.raises(ConfigError, match="this is not the run that found the architecture"):
        search_facts(run, other)


def test_without_a_provenance_the_first_of_its_trials_is_taken_and_called_so(
    run: Path, winner: Architecture
) -> None:
    facts = search_facts(run, winner.without_provenance())
    rows = read_trials(run)
    same = rows[(rows.architecture_id == winner.architecture_id) & (rows.status == "completed")]
    assert (facts.trial_id, facts.trials_of_it) == (same.trial_id.min(), len(same))
