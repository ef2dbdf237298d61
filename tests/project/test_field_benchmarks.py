"""The benchmarks of fronts and of successive halving compute what they say."""

from itertools import product

import numpy as np
import pytest
from places import REPOSITORY

BENCHMARKS = REPOSITORY / "tests" / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_front_benchmark_measures_a_strategy_of_ours_against_the_peer() -> None:
    import front

    volumes = {}
    for name in (front.PEER, "nsga2"):
        task = front.Task(table=None, strategy=name, seed=0, budgets=(10, 20))
        volumes[name] = np.array([front.run_task(task)])
    figures = front.figures_of(volumes, (10, 20))
    assert figures[front.PEER]["over_peer"]["20"]["mean"] == 1.0
    early, late = figures["nsga2"]["volume"]
    assert 0 < early <= late


def test_halving_benchmark_finds_saved_epochs_where_curves_do_not_cross() -> None:
    import halving

    assert halving.architecture_of((1, 1, 0, 1, 2)).stages[1].kernel_size == 5
    trained = []
    for i, choices in enumerate(product(*(range(len(options)) for options in halving.OPTIONS.values()))):
        limit = 0.5 + 0.004 * (i * 29 % 48)
        curve = [limit * (1 - 2.0**-epoch) for epoch in range(1, halving.EPOCHS + 1)]
        trained.append(halving.Trained(list(choices), [curve, curve], {"macs": 1.0, "params": 1.0}, 1.0))
    assert halving.agreement(trained)["1"]["another"] == pytest.approx(1.0)
    figures = halving.compared(trained, searches=10, at=12)
    assert figures["random_search"]["1, 3, 9"]["saved"]["value"] > 0.4
    assert halving.trainings_to(np.array([[0.0, 0.5, 1.0]]), 0.75) == pytest.approx(2.5)
