"""Comparisons: trainings alike and in turn, resumed exactly, extended, and refused where they differ."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from comparisons import DATA, OTHER, SHORT, TWO, accuracies, networks_of
from pictures import write_folder
from small_networks import SMALL
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from nas.comparing.compare import ComparisonBegun, ComparisonEvent, TrainingDue, compare
from nas.comparing.config import ComparisonConfig, read_plan, record_plan
from nas.comparing.figures import ComparisonFigures
from nas.comparing.trainings import ComparedTraining, trainings_of
from nas.events import EpochDone
from nas.training.finished import finished_training
from nas.training.train import train_fully
from search_spaces.networks.network import Network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.unfinished_files import is_unfinished
from trials.images.config import DataConfig
from trials.images.data_record import read_facts
from trials.log.driver_lock import DriverLock, RunLockedError
from trials.log.durable_files import SystemDisk

pytestmark = pytest.mark.usefixtures("as_a_worker", "quick_comparisons")

THIRD = replace(SMALL, head_channels=32)


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


def test_figures_are_those_of_the_trainings(whole_comparison: ComparisonFigures) -> None:
    small, other = whole_comparison.networks
    for network in whole_comparison.networks:
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
    assert whole_comparison.images == whole_comparison.conditions.minival_images == 36


# ---------------------------------------------------------------------- stopped, and continued


@pytest.mark.parametrize("ended", [1, 2])
def test_a_comparison_killed_between_trainings_goes_on_with_the_next(
    ended: int, whole_comparison: ComparisonFigures, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        compare(TWO, tmp_path / "run", train=interrupting(ended))
    events: list[ComparisonEvent] = []
    figures = compare(TWO, tmp_path / "run", on_event=events.append)
    assert due(events) == [("small", 5), ("other", 5), ("small", 6), ("other", 6)][ended:]
    assert accuracies(figures) == accuracies(whole_comparison)


def test_a_comparison_killed_within_a_training_goes_on_after_its_last_epoch(
    whole_comparison: ComparisonFigures, tmp_path: Path
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
    assert accuracies(figures) == accuracies(whole_comparison)


def test_a_comparison_that_has_ended_is_shown_without_training_anything(
    whole_comparison: ComparisonFigures,
) -> None:
    def never(config: Any, folder: Path) -> object:
        raise AssertionError("nothing is left to train")

    again = compare(TWO, Path(whole_comparison.run), train=never)
    assert again == whole_comparison


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
    changes: dict[str, Any], says: str, whole_comparison: ComparisonFigures
) -> None:
    before = (Path(whole_comparison.run) / "comparison.yaml").read_text()
    with pytest.raises(ConfigError) as refused:
        compare(replace(TWO, **changes), Path(whole_comparison.run))
    assert says in str(refused.value)
    assert "choose another --run" in str(refused.value)
    assert (Path(whole_comparison.run) / "comparison.yaml").read_text() == before


def test_an_edited_network_of_a_record_is_refused(
    whole_comparison: ComparisonFigures, tmp_path: Path
) -> None:
    text = (Path(whole_comparison.run) / "comparison.yaml").read_text()
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
