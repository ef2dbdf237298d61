"""Comparisons of which a training diverges: it is left out with its pair, and the others go on."""

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from comparisons import CONDITIONS, TWO, accuracies

from nas.comparing.compare import ComparisonEvent, TrainingDiverged, compare
from nas.comparing.config import ComparisonPlan, NetworkCosts
from nas.comparing.diverged import record_divergence, recorded_divergence
from nas.comparing.figures import ComparisonFigures, comparison_figures
from nas.comparing.trainings import Outcomes
from nas.events import EpochDone
from nas.training.failure import TrainingFailedError, failures_explained
from nas.training.finished import FinishedTraining
from nas.training.train import train_fully
from search_spaces.settings.config_error import ConfigError
from trials.training.train import NonFiniteLossError

pytestmark = pytest.mark.usefixtures("as_a_worker", "quick_comparisons")


def diverging(tried: list[tuple[str, int]], *, explained: bool) -> Callable[..., object]:
    """Trains; of `other` the loss is not finite with seed 5, after an epoch."""

    def train(config: Any, folder: Path) -> object:
        tried.append((folder.parent.name, config.seed))

        def tell(event: object) -> None:
            if isinstance(event, EpochDone) and tried[-1] == ("other", 5):
                raise NonFiniteLossError("the training loss of epoch 2 is nan")

        explain = failures_explained(config.recipe, folder, how_it_goes_on=lambda: "") if explained else None
        with explain or nullcontext():
            return train_fully(config, folder, on_event=tell)

    return train


@pytest.mark.parametrize("explained", [False, True], ids=["as it is", "in words for a user"])
def test_a_training_that_diverges_is_left_out_with_its_pair_and_not_tried_again(
    explained: bool, whole_comparison: ComparisonFigures, tmp_path: Path
) -> None:
    tried: list[tuple[str, int]] = []
    events: list[ComparisonEvent] = []
    run = tmp_path / "run"
    figures = compare(TWO, run, train=diverging(tried, explained=explained), on_event=events.append)
    assert tried == [("small", 5), ("other", 5), ("small", 6), ("other", 6)]
    assert [e.reason for e in events if isinstance(e, TrainingDiverged)] == [
        "the training loss of epoch 2 is nan"
    ]
    assert (figures.ended, figures.diverged, figures.total, figures.seconds_left) == (3, 1, 4, 0.0)
    small, other = figures.networks
    expected = accuracies(whole_comparison)
    assert accuracies(figures) == {"small": expected["small"], "other": expected["other"][1:]}
    assert other.against_first is not None
    assert other.against_first.pairs == 1
    assert other.against_first.difference.value == pytest.approx(
        expected["other"][1][1] - expected["small"][1][1]
    )
    assert [(each.seed, each.reason) for each in other.diverged] == [
        (5, "the training loss of epoch 2 is nan")
    ]
    assert small.diverged == ()
    written = json.loads((run / "comparison.json").read_text())
    assert written["networks"][1]["diverged"][0]["seed"] == 5
    # The same command trains nothing more; without the training's folder it tries it again.
    assert compare(TWO, run, train=diverging(tried, explained=explained)) == figures
    assert len(tried) == 4
    shutil.rmtree(run / "trainings" / "other" / "seed-5")
    mended = compare(TWO, run)
    assert accuracies(mended) == expected
    assert mended.diverged == 0


def test_other_failures_of_a_training_end_the_comparison(tmp_path: Path) -> None:
    def failing(config: Any, folder: Path) -> object:
        raise TrainingFailedError("out of memory")

    with pytest.raises(TrainingFailedError):
        compare(TWO, tmp_path / "run", train=failing)
    assert not list((tmp_path / "run").rglob("diverged.json"))


def test_a_damaged_record_of_a_divergence_is_refused(tmp_path: Path) -> None:
    record_divergence(tmp_path / "seed-5", "the training loss of epoch 2 is nan")
    assert recorded_divergence(tmp_path / "seed-5") == "the training loss of epoch 2 is nan"
    assert recorded_divergence(tmp_path / "seed-6") is None
    (tmp_path / "seed-5" / "diverged.json").write_text("{}")
    with pytest.raises(ConfigError, match="damaged: remove its folder, and the same command tries"):
        recorded_divergence(tmp_path / "seed-5")


@pytest.mark.parametrize("left", [0, 1], ids=["none is left", "one is left"])
def test_nothing_is_sure_while_a_training_is_left(
    left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = {"small": (0.8, 0.801, 0.802), "other": (0.5, 0.502, 0.504)}
    ended = {
        (name, 5 + i): FinishedTraining(
            epochs=2, best_epoch=2, accuracy=accuracies[name][i], test_accuracy=None, test_images=None,
            seconds=1.0, stopped_early=False, device_name="some CPU", precision="fp32", threads=1,
        )
        for i in range(3)
        for name in accuracies
    }  # fmt: skip
    costs = dict.fromkeys(accuracies, NetworkCosts(params=1, macs=1, epochs=2))
    plan = ComparisonPlan(config=replace(TWO, repeats=3), conditions=CONDITIONS, costs=costs)
    so_far = Outcomes(dict(list(ended.items())[: len(ended) - left]))
    monkeypatch.setattr("nas.comparing.figures.outcomes_of", lambda plan, folder: so_far)
    difference = comparison_figures(plan, tmp_path).networks[1].against_first
    assert difference is not None
    assert difference.pairs == 3 - left
    assert difference.p_value is not None
    assert difference.p_value < 0.05
    assert difference.is_sure is (left == 0)
