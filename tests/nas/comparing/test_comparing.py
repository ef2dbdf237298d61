"""Comparisons: trainings alike and in turn, resumed exactly, extended, and refused where they differ."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from comparisons import CONDITIONS, DATA, SHORT, networks_of
from pictures import write_folder
from small_networks import SMALL
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from nas.comparing.compare import ComparisonBegun, ComparisonEvent, TrainingDiverged, TrainingDue, compare
from nas.comparing.config import ComparisonConfig, ComparisonPlan, NetworkCosts, read_plan, record_plan
from nas.comparing.diverged import record_divergence, recorded_divergence
from nas.comparing.figures import ComparisonFigures, comparison_figures
from nas.comparing.trainings import ComparedTraining, Outcomes, trainings_of
from nas.events import EpochDone
from nas.training.failure import TrainingFailedError, failures_explained
from nas.training.finished import FinishedTraining, finished_training
from nas.training.train import train_fully
from search_spaces.networks.network import Network
from search_spaces.settings.unfinished_files import is_unfinished
from search_spaces.settings.yaml_files import ConfigError
from trials.images.config import DataConfig
from trials.images.data_record import read_facts
from trials.log.driver_lock import DriverLock, RunLockedError
from trials.log.durable_files import SystemDisk
from trials.training.train import NonFiniteLossError

pytestmark = pytest.mark.usefixtures("as_a_worker")

OTHER = replace(SMALL, head_channels=48)
THIRD = replace(SMALL, head_channels=32)

TWO = ComparisonConfig(
    networks=networks_of(small=SMALL, other=OTHER), data=DATA, recipe=SHORT, repeats=2, seed=5
)


@pytest.fixture(scope="module", autouse=True)
def quick_trainings() -> Iterator[None]:
    """No pictures, and no estimates, which take as many steps as fit a time; a state after each epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.comparing.results.picture_of", lambda figures: b"")
        patch.setattr("nas.training.train.estimate", lambda *arguments, **named: [])
        patch.setattr("nas.training.saving.SECONDS_BETWEEN_STATES", 0.0)
        yield


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, as_a_worker: None, quick_trainings: None
) -> ComparisonFigures:
    """A comparison that nothing interrupts."""
    return compare(TWO, tmp_path_factory.mktemp("whole") / "run")


def accuracies(figures: ComparisonFigures) -> dict[str, list[tuple[int, float]]]:
    return {
        network.name: [(each.seed, each.accuracy) for each in network.trainings]
        for network in figures.networks
    }


def due(events: list[ComparisonEvent]) -> list[tuple[str, int]]:
    """Trainings that were begun, or gone on with."""
    return [(e.training.network, e.training.seed) for e in events if isinstance(e, TrainingDue)]


# ---------------------------------------------------------------------- alike, and in turn


def test_each_network_is_trained_with_a_seed_before_any_with_the_next(tmp_path: Path) -> None:
    trained: list[tuple[str, int]] = []
    config = replace(TWO, networks=networks_of(small=SMALL, other=OTHER, third=THIRD))
    with pytest.raises(KeyboardInterrupt):  # nothing is trained: the order alone
        compare(config, tmp_path / "run", train=interrupting(0), on_event=lambda e: trained.extend(due([e])))
    assert trained == [("small", 5)]
    folders = [each.folder.relative_to(tmp_path / "run") for each in trainings(tmp_path / "run")]
    assert [str(folder) for folder in folders] == [
        f"trainings/{name}/seed-{seed}" for seed in (5, 6) for name in ("small", "other", "third")
    ]


def trainings(folder: Path) -> list[ComparedTraining]:
    return trainings_of(read_plan(folder), folder)


def interrupting(after: int) -> Callable[..., object]:
    """Trains so many networks, then is interrupted."""
    count = 0

    def train(config: Any, folder: Path) -> object:
        nonlocal count
        count += 1
        if count > after:
            raise KeyboardInterrupt
        return train_fully(config, folder)

    return train


@pytest.fixture
def batches_seen() -> Iterator[list[torch.Tensor]]:
    """Images of each training pass, in the order of passes."""
    seen: list[torch.Tensor] = []

    def record(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, Network) and module.training:
            seen.append(inputs[0].detach().float().clone())

    hook = register_module_forward_pre_hook(record)
    yield seen
    hook.remove()


def test_networks_of_a_repeat_see_the_same_images_and_draws_and_other_repeats_others(
    tmp_path: Path, batches_seen: list[torch.Tensor]
) -> None:
    seen: dict[tuple[str, int], list[torch.Tensor]] = {}

    def train(config: Any, folder: Path) -> object:
        batches_seen.clear()
        result = train_fully(config, folder)
        seen[folder.parent.name, config.seed] = list(batches_seen)
        return result

    figures = compare(TWO, tmp_path / "run", train=train)
    assert figures.ended == 4
    for seed in (5, 6):
        first, second = seen["small", seed], seen["other", seed]
        assert len(first) == len(second) >= 10
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert not torch.equal(seen["small", 5][-1], seen["small", 6][-1])
    facts = [read_facts(each.folder) for each in trainings(tmp_path / "run")]
    assert len({(each.digest, each.split_digest) for each in facts if each is not None}) == 1
    assert facts[0].digest == figures.conditions.data_digest


def test_figures_are_those_of_the_trainings(whole: ComparisonFigures) -> None:
    small, other = whole.networks
    for network in whole.networks:
        assert [each.seed for each in network.trainings] == [5, 6]
        for each in network.trainings:
            ended = finished_training(Path(each.run))
            assert ended is not None
            assert (each.accuracy, each.seconds) == (ended.accuracy, ended.seconds)
            assert (each.epochs, ended.test_accuracy) == (2, None)
    mean = sum(each.accuracy for each in other.trainings) / 2
    assert other.accuracy is not None
    assert other.accuracy.value == pytest.approx(mean)
    assert other.against_first is not None
    assert small.accuracy is not None
    assert other.against_first.difference.value == pytest.approx(mean - small.accuracy.value)
    assert (small.step_time_ratio, small.against_first) == (1.0, None)
    assert whole.images == whole.conditions.minival_images == 36


# ---------------------------------------------------------------------- stopped, and continued


@pytest.mark.parametrize("ended", [1, 2])
def test_a_comparison_killed_between_trainings_goes_on_with_the_next(
    ended: int, whole: ComparisonFigures, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        compare(TWO, tmp_path / "run", train=interrupting(ended))
    events: list[ComparisonEvent] = []
    figures = compare(TWO, tmp_path / "run", on_event=events.append)
    assert due(events) == [("small", 5), ("other", 5), ("small", 6), ("other", 6)][ended:]
    assert accuracies(figures) == accuracies(whole)


def test_a_comparison_killed_within_a_training_goes_on_after_its_last_epoch(
    whole: ComparisonFigures, tmp_path: Path
) -> None:
    def killed(config: Any, folder: Path) -> object:
        def tell(event: object) -> None:
            if isinstance(event, EpochDone) and "other" in str(folder):
                raise KeyboardInterrupt

        return train_fully(config, folder, on_event=tell)

    with pytest.raises(KeyboardInterrupt):
        compare(TWO, tmp_path / "run", train=killed)
    first_epochs: list[int] = []

    def resumed(config: Any, folder: Path) -> object:
        events: list[Any] = []
        result = train_fully(config, folder, on_event=events.append)
        first_epochs.append(next(e.first_epoch for e in events if hasattr(e, "first_epoch")))
        return result

    figures = compare(TWO, tmp_path / "run", train=resumed)
    assert first_epochs == [1, 0, 0]
    assert accuracies(figures) == accuracies(whole)


def test_a_comparison_that_has_ended_is_shown_without_training_anything(whole: ComparisonFigures) -> None:
    def never(config: Any, folder: Path) -> object:
        raise AssertionError("nothing is left to train")

    again = compare(TWO, Path(whole.run), train=never)
    assert again == whole


def test_a_second_driver_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compare(TWO, tmp_path / "run", train=interrupting(0))
    with DriverLock(tmp_path / "run"), pytest.raises(RunLockedError):
        compare(TWO, tmp_path / "run")


def test_a_file_that_was_left_while_the_plan_was_written_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        for step in ("rename", "remove"):
            patch.setattr(SystemDisk, step, killed)
        with pytest.raises(KeyboardInterrupt):
            compare(TWO, tmp_path / "run")
    (left,) = [path for path in (tmp_path / "run").iterdir() if path.name != "lock"]
    assert is_unfinished(left)
    with pytest.raises(KeyboardInterrupt):
        compare(TWO, tmp_path / "run", train=interrupting(0))
    assert (tmp_path / "run" / "comparison.yaml").is_file()
    assert not left.exists()


# ---------------------------------------------------------------------- trainings that diverge


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
    explained: bool, whole: ComparisonFigures, tmp_path: Path
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
    expected = accuracies(whole)
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


# ---------------------------------------------------------------------- more, and otherwise


def test_networks_and_repeats_are_added_to_what_is_there(tmp_path: Path) -> None:
    one = replace(TWO, repeats=1)
    before = compare(one, tmp_path / "run")
    costs = read_plan(tmp_path / "run").costs
    events: list[ComparisonEvent] = []
    more = replace(one, networks=networks_of(small=SMALL, third=THIRD, other=OTHER), repeats=2)
    with pytest.raises(KeyboardInterrupt):
        compare(more, tmp_path / "run", train=interrupting(1), on_event=events.append)
    assert due(events) == [("third", 5), ("small", 6)]
    (begun,) = [event for event in events if isinstance(event, ComparisonBegun)]
    assert begun.ended == 2
    plan = read_plan(tmp_path / "run")
    assert list(plan.config.networks) == ["small", "other", "third"]
    assert {name: plan.costs[name] for name in costs} == costs  # the first ones are not timed again
    assert accuracies(before)["small"] == [(5, finished(tmp_path / "run", "small"))]


def finished(folder: Path, name: str) -> float:
    ended = finished_training(folder / "trainings" / name / "seed-5")
    assert ended is not None
    return ended.accuracy


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"recipe": replace(SHORT, learning_rate=0.5)}, "recipe.learning_rate: the run has 0.016, now 0.5"),
        ({"repeats": 1}, "repeats: the comparison has 2, now 1; there may be more"),
        ({"equal": "time"}, "equal: the run has 'epochs', now 'time'"),
        ({"seed": 4}, "seed: the run has 5, now 4"),
        ({"networks": networks_of(other=OTHER, small=SMALL)}, "the first network, with which others are"),
        ({"networks": networks_of(small=SMALL, third=THIRD)}, "no longer named: other"),
        ({"networks": networks_of(small=SMALL, other=THIRD)}, "other is another network now: other.head_ch"),
        ({"data": replace(DATA, minival=0.3)}, "data.minival: the run has nothing, now 0.3"),
    ],
)  # fmt: skip
def test_anything_else_that_differs_is_refused_by_name(
    changes: dict[str, Any], says: str, whole: ComparisonFigures
) -> None:
    before = (Path(whole.run) / "comparison.yaml").read_text()
    with pytest.raises(ConfigError) as refused:
        compare(replace(TWO, **changes), Path(whole.run))
    assert says in str(refused.value)
    assert "choose another --run" in str(refused.value)
    assert (Path(whole.run) / "comparison.yaml").read_text() == before


def test_an_edited_network_of_a_record_is_refused(whole: ComparisonFigures, tmp_path: Path) -> None:
    text = (Path(whole.run) / "comparison.yaml").read_text()
    (tmp_path / "comparison.yaml").write_text(text.replace("head_channels: 48", "head_channels: 40"))
    with pytest.raises(ConfigError, match="it has been edited"):
        read_plan(tmp_path)


# ---------------------------------------------------------------------- the same images


@pytest.fixture
def pictured(tmp_path: Path) -> ComparisonConfig:
    """A comparison on a folder of pictures, of which one training has ended."""
    write_folder(tmp_path / "here", per_class=12)
    data = DataConfig(source=str(tmp_path / "here"), minival=0.25)
    config = replace(TWO, data=data, recipe=replace(SHORT, epochs=1), repeats=1)
    with pytest.raises(KeyboardInterrupt):
        compare(config, tmp_path / "run", train=interrupting(1))
    return config


def test_images_may_lie_elsewhere_when_a_comparison_goes_on(
    pictured: ComparisonConfig, tmp_path: Path
) -> None:
    (tmp_path / "here").rename(tmp_path / "there")
    moved = replace(pictured, data=replace(pictured.data, source=str(tmp_path / "there")))
    assert compare(moved, tmp_path / "run").ended == 2


@pytest.mark.parametrize("begun", [True, False], ids=["after a training", "before the first"])
def test_other_images_than_those_it_began_with_are_refused(
    begun: bool, pictured: ComparisonConfig, tmp_path: Path
) -> None:
    if not begun:
        shutil.rmtree(tmp_path / "run" / "trainings")
    (tmp_path / "here" / "cat" / "0.png").unlink()
    with pytest.raises(ConfigError, match="images are not those that this"):
        compare(pictured, tmp_path / "run")


def test_other_test_images_than_those_it_began_with_are_refused(
    pictured: ComparisonConfig, tmp_path: Path
) -> None:
    for name, images in (("tested", 3), ("others", 4)):
        write_folder(tmp_path / name, per_class=images)
    config = replace(pictured, test=str(tmp_path / "tested"))
    with pytest.raises(KeyboardInterrupt):
        compare(config, tmp_path / "with", train=interrupting(1))
    # Without the first training nothing but the plan knows which ones they were.
    shutil.rmtree(tmp_path / "with" / "trainings" / "small")
    with pytest.raises(ConfigError, match="the test images are not those that this comparison began with"):
        compare(replace(config, test=str(tmp_path / "others")), tmp_path / "with")
    (tmp_path / "tested").rename(tmp_path / "moved")
    with pytest.raises(KeyboardInterrupt):
        compare(replace(config, test=str(tmp_path / "moved")), tmp_path / "with", train=interrupting(0))


def test_a_plan_of_before_test_images_were_recorded_goes_on(
    pictured: ComparisonConfig, tmp_path: Path
) -> None:
    write_folder(tmp_path / "tested", per_class=3)
    config = replace(pictured, test=str(tmp_path / "tested"))
    with pytest.raises(KeyboardInterrupt):
        compare(config, tmp_path / "with", train=interrupting(0))
    plan = read_plan(tmp_path / "with")
    assert plan.conditions.test_digest is not None
    record_plan(replace(plan, conditions=replace(plan.conditions, test_digest=None)), tmp_path / "with")
    with pytest.raises(KeyboardInterrupt):
        compare(config, tmp_path / "with", train=interrupting(0))
