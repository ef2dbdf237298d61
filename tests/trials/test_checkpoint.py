"""A trial goes on from a kept epoch, its own or a shorter trial's, with the curve it would have had."""

from dataclasses import replace
from pathlib import Path

import pytest
from executor_trials import losses, tiny_trial

from nas.search.config import read_search_config
from nas.search.search import search
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml
from trials.executors.in_process import in_process
from trials.images.config import DataConfig
from trials.run_trial import start_worker
from trials.trial import EpochResult, RunTrial, Slot, Trial, TrialResult
from trials.worker_setup import WorkerSetup

EPOCHS = 3


@pytest.fixture(scope="module")
def trial() -> Trial:
    return tiny_trial(EPOCHS)


@pytest.fixture(scope="module")
def undisturbed(trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of that trial if nothing happens."""
    return losses(list(worker(None, tmp_path_factory.mktemp("locks"))(trial)))


def worker(folder: Path | None, locks: Path) -> RunTrial:
    setup = WorkerSetup(
        data=DataConfig(source="digits", fraction=0.15),
        reference=read_yaml(SearchSpace, "tiny").reference,
        checkpoints=folder,
        locks=locks,
    )
    return start_worker(Slot(index=0), setup=setup)


def lost_after(run_trial: RunTrial, trial: Trial, epochs: int) -> None:
    """Runs a trial until so many epochs are done, and drops it."""
    events = run_trial(trial)
    while epochs:
        epochs -= isinstance(next(events), EpochResult)
    events.close()  # type: ignore[attr-defined]


def test_lost_trial_goes_on_after_its_last_epoch_with_the_same_losses(
    trial: Trial, undisturbed: list[float], tmp_path: Path
) -> None:
    assert len(undisturbed) == EPOCHS
    folder = tmp_path / "checkpoints"
    run_trial = worker(folder, tmp_path)
    lost_after(run_trial, trial, 2)
    (file,) = folder.iterdir()
    written = file.stat().st_mtime_ns
    again = list(run_trial(replace(trial, attempt=2)))
    assert losses(again) == undisturbed
    assert {event.attempt for event in again if isinstance(event, EpochResult)} == {2}
    result = again[-1]
    assert isinstance(result, TrialResult)
    assert (result.status, len(result.epochs)) == ("completed", EPOCHS)
    assert file.stat().st_mtime_ns > written


def test_trial_lost_after_its_last_epoch_is_not_trained_again(trial: Trial, tmp_path: Path) -> None:
    run_trial = worker(tmp_path / "checkpoints", tmp_path)
    whole = list(run_trial(trial))
    (file,) = (tmp_path / "checkpoints").iterdir()
    written = file.stat().st_mtime_ns
    assert losses(list(run_trial(replace(trial, attempt=2)))) == losses(whole)
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_damaged_state_of_a_trial_is_not_used(
    damage: str, trial: Trial, undisturbed: list[float], tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    run_trial = worker(folder, tmp_path)
    lost_after(run_trial, trial, 2)
    (file,) = folder.iterdir()
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes({"flipped": bytes(data), "cut": bytes(data[: len(data) // 2]), "empty": b""}[damage])
    again = list(run_trial(replace(trial, attempt=2)))
    assert losses(again) == undisturbed


def test_trial_never_goes_on_from_another_trainings_state(trial: Trial, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    run_trial = worker(folder, tmp_path)
    lost_after(run_trial, trial, 1)
    other = replace(trial, seed=trial.seed + 1)
    assert losses(list(run_trial(other))) == losses(list(worker(None, tmp_path)(other)))
    assert len(list(folder.iterdir())) == 2


def test_a_trial_that_takes_too_long_is_infeasible(trial: Trial, tmp_path: Path) -> None:
    *_, result = worker(None, tmp_path)(replace(trial, timeout_seconds=0.001))
    assert isinstance(result, TrialResult)
    assert (result.status, result.failure_kind) == ("infeasible", "timeout")
    assert "more than 0.001 s" in (result.error or "")


def test_finished_search_leaves_no_states_of_trials_behind(digits_search_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    config = read_search_config(
        str(digits_search_file), overrides=[f"checkpoint_dir={folder}", "budget={trials: 2}"]
    )
    result = search(config, tmp_path / "run", execute=in_process(device="cpu"))
    assert [row["status"] for row in result.rows] == ["completed"] * 2
    assert list(folder.iterdir()) == []


@pytest.fixture
def extensible(trial: Trial) -> Trial:
    """Whose schedule does not know how long it is."""
    recipe = replace(trial.recipe, schedule="constant", averaging_decay=0.99)
    return replace(trial, recipe=recipe)


def test_promoted_trial_goes_on_from_a_shorter_one_as_if_it_had_never_ended(
    extensible: Trial, tmp_path: Path
) -> None:
    whole = list(worker(None, tmp_path)(extensible))
    run_trial = worker(tmp_path / "checkpoints", tmp_path)
    short = list(run_trial(replace(extensible, epochs=2)))
    longer = replace(extensible, trial_id=7, continues=extensible.trial_id, epochs_before=2)
    went_on = list(run_trial(longer))
    assert losses(short) == losses(whole)[:2]
    assert losses(went_on) == losses(whole)[2:]
    result, expected = went_on[-1], whole[-1]
    assert isinstance(result, TrialResult)
    assert isinstance(expected, TrialResult)
    assert result.measurement is not None
    assert expected.measurement is not None
    assert result.measurement.accuracy == expected.measurement.accuracy
    assert [end.train_loss for end in result.epochs] == losses(whole)  # the whole curve
    assert result.times is not None
    assert result.times.train_seconds == result.epochs[-1].train_seconds  # but not its seconds
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_promoted_trial_without_the_shorter_ones_state_is_trained_from_the_start(
    extensible: Trial, tmp_path: Path
) -> None:
    whole = losses(list(worker(None, tmp_path)(extensible)))
    longer = replace(extensible, trial_id=7, continues=extensible.trial_id, epochs_before=2)
    assert losses(list(worker(tmp_path / "checkpoints", tmp_path)(longer))) == whole


def test_shorter_trial_takes_its_epochs_from_a_longer_trials_state(extensible: Trial, tmp_path: Path) -> None:
    run_trial = worker(tmp_path / "checkpoints", tmp_path)
    whole = losses(list(run_trial(extensible)))
    assert losses(list(run_trial(replace(extensible, epochs=2, attempt=2)))) == whole[:2]


def test_trial_of_another_length_starts_anew_if_its_schedule_knows_its_end(
    trial: Trial, undisturbed: list[float], tmp_path: Path
) -> None:
    run_trial = worker(tmp_path / "checkpoints", tmp_path)
    list(run_trial(replace(trial, epochs=1)))
    assert losses(list(run_trial(trial))) == undisturbed
