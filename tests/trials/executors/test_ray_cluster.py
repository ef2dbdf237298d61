"""Three real Ray nodes on this machine: one is lost and another joins while trials run."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from executor_trials import portable, tiny_trials
from formula import formula_worker

from trials.executors.ray_actors import ray_actors
from trials.trial import Event, Progress, Slot, Trial, TrialResult, WorkerJoined


class Waiting:
    """The formula; trials from the third on wait for a file, and give signs of life meanwhile."""

    def __init__(self, slot: Slot, go_on: Path) -> None:
        self.run, self.go_on = formula_worker(slot), go_on

    def __call__(self, trial: Trial) -> Iterator[Event]:
        while trial.trial_id >= 2 and not self.go_on.exists():
            yield Progress(trial_id=trial.trial_id, attempt=trial.attempt, phase="training")
            time.sleep(0.1)
        yield from self.run(trial)  # type: ignore[misc]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without slots, and two nodes of one (logical) GPU each."""
    import ray
    from ray.cluster_utils import Cluster

    assert not ray.is_initialized()
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0, "include_dashboard": False}
    )
    cluster.nodes = [cluster.add_node(num_cpus=1, num_gpus=1) for _ in range(2)]
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_trials_of_a_lost_node_run_elsewhere_and_a_new_node_is_used(cluster: Any, tmp_path: Path) -> None:
    """One node is removed while both train, another is added when that is noticed; then all may end."""
    number = 8
    again: list[Trial] = []
    ended: list[int] = []
    node_of: dict[int, str] = {}
    lost: set[int] = set()
    ran_again_on: dict[int, str] = {}
    removed = None

    def given() -> Iterator[Trial | None]:
        yield from tiny_trials(number)
        while len(ended) < number:
            yield again.pop() if again else None

    portable(formula_worker)
    start = partial(portable(Waiting), go_on=tmp_path / "go on")
    for event in ray_actors(address=cluster.address)(start, given()):  # type: ignore[arg-type]
        if isinstance(event, WorkerJoined):
            node_of[event.slot] = event.info.node_id
            if removed is not None:
                (tmp_path / "go on").touch()
        elif isinstance(event, Progress) and event.trial_id >= 2 and event.slot is not None:
            if event.attempt == 2:
                ran_again_on[event.trial_id] = node_of[event.slot]
            if removed is None:
                removed = node_of[event.slot]
                doomed = next(node for node in cluster.nodes if node.node_id == removed)
                cluster.remove_node(doomed, allow_graceful=False)
        elif isinstance(event, TrialResult) and event.status == "crashed":
            assert event.failure_kind == "worker_lost"
            lost.add(event.trial_id)
            again.append(replace(event.trial, attempt=event.trial.attempt + 1))
            cluster.add_node(num_cpus=1, num_gpus=1)
        elif isinstance(event, TrialResult):
            ended.append(event.trial_id)
    assert sorted(ended) == list(range(number))
    assert len(lost) == 1
    assert len(set(node_of.values()) - {removed}) == 2, "the node that joined got a worker"
    assert removed not in ran_again_on.values()
