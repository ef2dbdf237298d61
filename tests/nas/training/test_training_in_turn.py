"""Full trainings, evaluations and predictions share the device, and give way to whoever times on it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from device_turns import Turns, turns_in
from full_trainings import CONFIG, RECIPE, curve
from small_networks import SMALL

import nas.training.evaluation
import nas.training.prediction
import nas.training.train
from nas.training.evaluation import evaluate_images, labelled_images
from nas.training.prediction import predict_folder
from nas.training.train import train_fully
from nas.training.training_events import TrainingEvent
from search_spaces.networks.network import build_network
from trials.recipe import Ramp
from trials.training import train
from trials.training.train import Heartbeat
from trials.training.weights_file import WeightsFile, load_weights, save_weights

SHORT = replace(CONFIG, recipe=replace(RECIPE, epochs=1, num_training_stages=1, resolution=Ramp(8, 8)))


class Timer:
    """A neighbour that wants to time: it queues at a first event, and times as soon as it may."""

    def __init__(self, turns: Turns) -> None:
        self.lock = turns.neighbour()
        self.queue = self.lock.queue("timing")
        self.timed = False
        self.is_waiting = False

    def arrive(self) -> None:
        if not self.is_waiting:
            next(self.queue)  # somebody has the device
            self.is_waiting = True

    def go(self) -> None:
        """Times, now that the trainer waits."""
        if self.is_waiting and not self.timed:
            assert list(self.queue) == []
            self.timed = self.lock.is_exclusive
            self.lock.release()


def test_full_training_gives_way_to_a_timer_and_its_curve_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "SECONDS_BETWEEN_HEARTBEATS", 0.0)
    undisturbed = train_fully(SHORT, tmp_path / "first")
    with turns_in(tmp_path / "locks", nas.training.train, nas.training.evaluation) as turns:
        timer = Timer(turns)

        def tell(event: TrainingEvent) -> None:
            if isinstance(event, Heartbeat) and event.phase == "training":
                assert turns.role == "training"
                timer.arrive()
            elif isinstance(event, Heartbeat) and event.phase == "waiting":
                timer.go()

        disturbed = train_fully(SHORT, tmp_path / "second", on_event=tell)
        assert timer.timed
        assert turns.is_free()
    assert set(turns.roles) == {"training"}
    assert curve(disturbed) == curve(undisturbed)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> WeightsFile:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(path, build_network(SMALL, num_classes=10), SMALL, num_classes=10, resolution=16)
    return load_weights(path)


def give_way_by(timer: Timer) -> Callable[..., float]:
    """As `give_way`, with the neighbour that times meanwhile."""
    from trials.devices.sharing import give_way

    def give(lock: object, on_wait: object = None) -> float:
        timer.arrive()
        return give_way(lock, lambda _: timer.go())  # type: ignore[arg-type]

    return give


def test_evaluation_gives_way_to_a_timer(
    weights: WeightsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = labelled_images("digits", weights, resolution=16)
    with turns_in(tmp_path / "locks", nas.training.evaluation) as turns:
        timer = Timer(turns)
        monkeypatch.setattr(nas.training.evaluation, "give_way", give_way_by(timer))
        evaluate_images(weights, images)
        assert timer.timed
        assert turns.is_free()
    assert set(turns.roles) == {"training"}


def test_prediction_gives_way_to_a_timer(
    weights: WeightsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "pictures" / "one.png")
    with turns_in(tmp_path / "locks", nas.training.prediction) as turns:
        timer = Timer(turns)
        monkeypatch.setattr(nas.training.prediction, "give_way", give_way_by(timer))
        assert len(predict_folder(weights, tmp_path / "pictures", resolution=16)) == 1
        assert timer.timed
        assert turns.is_free()
    assert set(turns.roles) == {"training"}
