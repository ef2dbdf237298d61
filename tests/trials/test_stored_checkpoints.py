"""Checkpoints of trials in an object store: another machine goes on; they go with the search."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from caches import new_cache
from conftest import MakeConfig, Nas
from executor_trials import losses, tiny_trial
from fault_store import Fault, FaultyStore

from nas.events import RowWritten
from nas.search.kept_checkpoints import KeptCheckpoints, checkpoint_folder
from nas.search.search import search
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml
from trials.checkpoint import TrialCheckpoint
from trials.executors.in_process import in_process
from trials.images.config import DataConfig
from trials.log.bucket_files import BucketFiles
from trials.log.file_names import CHECKPOINTS_FOLDER
from trials.log.object_store import Objects
from trials.log.run_places import run_folder
from trials.run_trial import start_worker
from trials.trial import EpochResult, RunTrial, Slot, Trial, TrialResult
from trials.worker_setup import WorkerSetup

URL = "s3://bucket/runs/first"
EPOCHS = 2


@pytest.fixture(scope="module")
def trial() -> Trial:
    return tiny_trial(EPOCHS)


def worker(folder: Path, store: FaultyStore | None = None) -> RunTrial:
    """A worker on a machine of its own; its checkpoints are in the store, if there is one."""
    setup = WorkerSetup(
        data=DataConfig(source="digits", fraction=0.2),
        reference=read_yaml(SearchSpace, "tiny").reference,
        locks=folder.parent,
    )
    run_trial: Any = start_worker(Slot(index=0), setup=setup)
    if store is not None:
        run_trial.checkpoints._states = (folder, files_in(folder, store))
    return run_trial


def files_in(folder: Path, store: FaultyStore) -> BucketFiles:
    client: Any = store
    return BucketFiles(folder, URL, store=client, keeps_copies=False)


@pytest.fixture(scope="module")
def undisturbed(trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return losses(list(worker(tmp_path_factory.mktemp("whole") / "states")(trial)))


def test_a_trial_goes_on_on_another_machine_and_leaves_no_copy_on_either(
    trial: Trial, undisturbed: list[float], tmp_path: Path
) -> None:
    store = FaultyStore()
    events = worker(tmp_path / "first", store)(trial)
    while not isinstance(next(events), EpochResult):
        pass
    events.close()  # type: ignore[attr-defined]
    (key,) = Objects(URL, store=store.inner).tags()
    assert TrialCheckpoint(tmp_path, trial, DataConfig(source="digits", fraction=0.2)).path.name == key
    again = FaultyStore(store.inner)
    assert losses(list(worker(tmp_path / "second", again)(replace(trial, attempt=2)))) == undisturbed
    assert again.counts()["put"] == EPOCHS - 1  # the first epoch was not trained again
    assert not list(tmp_path.glob("*/*.safetensors"))


def test_a_damaged_state_in_a_store_and_one_that_is_not_answered_are_not_used(
    trial: Trial, undisturbed: list[float], tmp_path: Path
) -> None:
    store = FaultyStore()
    list(worker(tmp_path / "first", store)(trial))
    (key,) = Objects(URL, store=store.inner).tags()
    unanswered = FaultyStore(store.inner, faults=(Fault(0, "lost"),))
    assert losses(list(worker(tmp_path / "second", unanswered)(trial))) == undisturbed
    data = bytearray(store.inner.get(key).bytes())
    data[-100] ^= 1
    store.inner.put(key, bytes(data))
    damaged = FaultyStore(store.inner)
    assert losses(list(worker(tmp_path / "third", damaged)(trial))) == undisturbed
    assert damaged.counts()["put"] == EPOCHS


def test_a_state_that_cannot_be_written_ends_the_trial_as_crashed_and_says_why(
    trial: Trial, tmp_path: Path
) -> None:
    """As where a disk is full."""
    for place, said in (
        (FaultyStore(faults=(Fault(1, "lost"),)), "the object store does not answer: 503 Slow Down"),
        (None, "Not a directory"),
    ):
        run_trial: Any = worker(tmp_path / "states", place)
        if place is None:
            (tmp_path / "file").write_text("")
            run_trial.checkpoints._states = (tmp_path / "file" / "states", None)
        *_, result = run_trial(trial)
        assert isinstance(result, TrialResult)
        assert (result.status, result.failure_kind) == ("crashed", "bug")
        assert said in (result.error or "")


def test_states_that_cannot_be_removed_are_tried_again_and_named_in_the_end(
    trial: Trial, tmp_path: Path
) -> None:
    data = DataConfig(source="digits")
    for times, left in ((1, None), (2, "checkpoints of trials are left in ")):
        store = FaultyStore(faults=(Fault(1, "lost", times=times),))
        files = files_in(tmp_path, store)
        kept = KeptCheckpoints(tmp_path, data, files=files, is_own=True, continuable=None)
        checkpoint = TrialCheckpoint(tmp_path, trial, data, files=files)
        files.write(checkpoint.path, b"state")
        kept.begun(trial)
        kept.prune(lambda trial_id: False)  # the request is lost
        said = kept.remove_all()
        assert (said is None) if left is None else (said or "").startswith(left)
        there = Objects(URL, store=store.inner).tags()
        assert list(there) == ([] if left is None else [checkpoint.path.name])


@pytest.mark.parametrize("is_overtaken", [True, False])
def test_an_overtaken_driver_leaves_the_states_to_the_newer_one(
    trial: Trial, tmp_path: Path, is_overtaken: bool
) -> None:
    data, store = DataConfig(source="digits"), FaultyStore()
    files = files_in(tmp_path, store)
    kept = KeptCheckpoints(
        tmp_path, data, files=files, is_own=True, continuable=None, is_overtaken=lambda: is_overtaken
    )
    path = TrialCheckpoint(tmp_path, trial, data, files=files).path
    for _ in range(2):
        files.write(path, b"state")
        kept.begun(trial)
        kept.prune(lambda trial_id: False)
        assert bool(Objects(URL, store=store.inner).tags()) == is_overtaken
    files.write(tmp_path / "another.safetensors", b"state")
    assert kept.remove_all() is None
    assert bool(Objects(URL, store=store.inner).tags()) == is_overtaken


def test_a_run_in_a_store_has_its_checkpoints_there_unless_told_otherwise(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    assert checkpoint_folder(make_config(), tmp_path) is None
    elsewhere = make_config(checkpoint_dir="s3://bucket/states/")
    assert checkpoint_folder(elsewhere, tmp_path) == "s3://bucket/states"
    (tmp_path / ".bucket").write_text(f'{{"url": "{URL}"}}')
    assert checkpoint_folder(make_config(), tmp_path) == f"{URL}/{CHECKPOINTS_FOLDER}"
    assert checkpoint_folder(make_config(checkpoint_dir="/shared"), tmp_path) == "/shared"


# ---------------------------------------------------------------------- a real server


def test_a_search_goes_on_from_states_in_the_bucket_on_another_machine(
    server: None, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(
        data={"source": "digits", "fraction": 0.2},
        recipe={
            "epochs": 2, "batch_size": 64, "resolution": 16, "flip": False, "schedule": "constant",
            "averaging_decay": 0.9, "warmup_epochs": 0.5,
        },
        strategy={"name": "successive_halving", "over": "random_search", "eta": 2, "min_epochs": 1},
        reward={"params": -0.05}, baseline=1, budget={"trials": 3},
    )  # fmt: skip
    objects = Objects(URL)

    def stop_after_two(event: object) -> None:
        if isinstance(event, RowWritten) and event.row["trial_id"] == 1:
            raise KeyboardInterrupt

    folder = run_folder(URL)
    with pytest.raises(KeyboardInterrupt):
        search(config, folder, execute=in_process(device="cpu"), on_event=stop_after_two)
    assert objects.tags(CHECKPOINTS_FOLDER)
    assert not (folder / CHECKPOINTS_FOLDER).exists()
    monkeypatch.setenv("XDG_CACHE_HOME", new_cache(tmp_path / "elsewhere"))
    there = run_folder(URL)
    rows = search(config, there, execute=in_process(device="cpu")).rows
    (promoted,) = [row for row in rows if row["continues"] is not None]
    before = rows[promoted["continues"] or 0]
    assert promoted["minival_accuracy"][:1] == before["minival_accuracy"]
    assert objects.tags(CHECKPOINTS_FOLDER) == {}
    assert not list(there.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("ftp://host/states", "begins with s3://, gs://, az://"),
        ("s3://no-such-bucket/states", "s3://no-such-bucket/states: "),
    ],
)
def test_a_place_of_checkpoints_that_cannot_be_reached_is_refused(
    place: str, said: str, server: None, digits_search_file: Path, nas: Nas, tmp_path: Path
) -> None:
    code, _, error = nas(
        "search", digits_search_file, "--run", "run", "--in-process", "--set", f"checkpoint_dir={place}"
    )
    assert code == 2
    assert said in " ".join(error.split())
    assert "checkpoint_dir" in error
    assert not (tmp_path / "run").exists()
