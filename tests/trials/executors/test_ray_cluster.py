"""Three real Ray nodes on this machine: one is lost and another joins while trials run."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from formula import formula_worker
from test_executors import portable
from test_timing_places import trials

from trials.executors.ray_actors import ray_actors
from trials.trial import Event, Progress, RunTrial, Slot, Trial, TrialResult, WorkerJoined

TRIAL_SECONDS = 1.0


def slow_worker(slot: Slot) -> RunTrial:
    """The formula, after a second with signs of life."""
    run = formula_worker(slot)

    def run_trial(trial: Trial) -> Iterator[Event]:
        for _ in range(10):
            yield Progress(trial_id=trial.trial_id, attempt=trial.attempt, phase="training")
            time.sleep(TRIAL_SECONDS / 10)
        yield from run(trial)  # type: ignore[misc]

    return run_trial


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


def test_trials_of_a_lost_node_run_elsewhere_and_a_new_node_is_used(cluster: Any) -> None:
    number = 12
    again: list[Trial] = []
    ended: list[int] = []
    joined: list[str] = []
    node_of: dict[int, str] = {}
    lost: dict[int, float] = {}
    waited: list[float] = []

    def given() -> Iterator[Trial | None]:
        yield from trials(number)
        while len(ended) < number:
            yield again.pop() if again else None

    portable(formula_worker)
    removed = added = False
    for event in ray_actors(address=cluster.address)(portable(slow_worker), given()):
        if isinstance(event, WorkerJoined):
            joined.append(event.info.node_id)
            node_of[event.slot] = event.info.node_id
        if isinstance(event, Progress) and event.trial_id in lost and event.attempt == 2:
            waited.append(time.monotonic() - lost.pop(event.trial_id))
        if isinstance(event, TrialResult) and event.status == "crashed":
            assert event.failure_kind == "worker_lost"
            again.append(replace(event.trial, attempt=event.trial.attempt + 1))
        elif isinstance(event, TrialResult):
            ended.append(event.trial_id)
        if len(ended) >= 2 and not removed and isinstance(event, Progress):
            removed = True  # while it trains: between two trials nothing would be lost
            doomed = next(node for node in cluster.nodes if node.node_id == node_of[event.slot])
            cluster.remove_node(doomed, allow_graceful=False)
            started = time.monotonic()
        if removed and len(ended) >= 4 and not added:
            added = True
            cluster.add_node(num_cpus=1, num_gpus=1)
        if isinstance(event, TrialResult) and event.status == "crashed":
            lost[event.trial_id] = started
    assert sorted(ended) == list(range(number))
    assert len(set(joined)) == 3, "the node that joined got a worker"
    assert waited
    assert max(waited) < 20
