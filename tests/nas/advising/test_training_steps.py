"""nas next with a training, repeats of one, and a comparison."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from advised import finish, locked, typed
from comparisons import CONDITIONS, TWO, quick_trainings
from full_trainings import CONFIG

from nas.advising.comparison_steps import finished_steps
from nas.advising.next_steps import next_steps
from nas.advising.training_steps import training_advice
from nas.comparing.compare import compare
from nas.comparing.config import ComparisonPlan, NetworkCosts, record_plan
from nas.training.config import record_config
from nas.training.finished import RESULT
from nas.training.repeats import recorded_repeats, typed_words
from search_spaces.settings.config_error import ConfigError


def test_advice_with_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("a training")
    folder.mkdir()
    record_config(CONFIG, folder)
    found = next_steps(folder)
    assert (found.kind, found.state) == ("training", "stopped after 0 of 4 epochs")
    assert typed(found) == ["nas train --run 'a training'"]
    with locked(folder):
        running = next_steps(folder)
    assert running.state.startswith("running (")
    (watch,) = running.steps
    assert (watch.command, watch.watches) == ("nas next 'a training'", True)
    assert [note.command for note in running.notes] == ["nas train --run 'a training'"]
    finish(folder)
    found = next_steps(folder)
    assert found.state == "finished: accuracy 90.0 % on minival"
    assert typed(found) == [
        "nas evaluate 'a training/weights/best.safetensors' --data IMAGES",
        "nas export 'a training' --format onnx -o 'a training/best.onnx'",
        "nas predict 'a training/weights/best.safetensors' PICTURES -o predictions.csv",
        "nas push 'a training' USER/NAME --license LICENSE --dry-run",
    ]
    assert found.fill_in == ("IMAGES", "PICTURES", "USER/NAME", "LICENSE")
    (folder / "best.onnx").touch()
    assert [command.split()[1] for command in typed(next_steps(folder))] == ["evaluate", "predict", "push"]
    (folder / "best.onnx").unlink()
    record_config(replace(CONFIG, test="digits"), folder)
    finish(folder, test={"accuracy": 0.8, "images": 10})
    found = next_steps(folder)
    assert found.state == "finished: accuracy 80.0 % on test images"
    assert [command.split()[1] for command in typed(found)] == ["export", "predict", "push"]


def test_repeats_go_on_until_all_have_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("train/rep")
    words = typed_words("best.yaml", data="my images", set_=["recipe.epochs=4"], repeats=3, shared=False)
    command = "nas train best.yaml --data 'my images' --set recipe.epochs=4 --repeats 3 --run train/rep"
    with recorded_repeats(folder, repeats=3, words=words):
        found = next_steps(folder)
        assert (found.state, typed(found)) == ("stopped: 0 of 3 trainings finished", [command])
        for i in range(3):
            own = folder / f"repeat-{i}"
            own.mkdir()
            record_config(CONFIG, own)
            found = next_steps(folder)
            assert (found.state, typed(found)) == (f"stopped: {i} of 3 trainings finished", [command])
            with locked(own):
                running = next_steps(folder)
            assert running.state.startswith("running (")
            assert [step.watches for step in running.steps] == [True]
            finish(own)
    found = next_steps(folder)
    assert found.state == "3 trainings finished; the best one finished: accuracy 90.0 % on minival"


def test_advice_with_repeats_of_an_earlier_version(tmp_path: Path) -> None:
    for i, accuracy in enumerate((0.8, 0.9)):
        own = tmp_path / f"repeat-{i}"
        own.mkdir()
        record_config(CONFIG, own)
        finish(own, accuracy=accuracy)
    found = next_steps(tmp_path)
    assert found.state.startswith("2 trainings finished (an earlier version has not recorded how many ")
    assert found.state.endswith("; the best one finished: accuracy 90.0 % on minival")
    assert f"{tmp_path}/repeat-1/weights" in typed(found)[0]
    (tmp_path / "repeat-0" / RESULT).unlink()
    found = next_steps(tmp_path)
    assert typed(found) == [f"nas train --run {tmp_path}/repeat-0"]
    assert found.state.startswith("repeat-0 stopped after 0 of 4 epochs; an earlier version has not recorded")
    with pytest.raises(ConfigError, match="no training was begun here"):
        training_advice(tmp_path / "repeat-0" / "weights")


def test_advice_with_a_comparison(tmp_path: Path, as_a_worker: None) -> None:
    folder = tmp_path / "two networks"
    folder.mkdir()
    costs = {name: NetworkCosts(params=1, macs=1, epochs=2) for name in TWO.networks}
    record_plan(ComparisonPlan(config=TWO, conditions=CONDITIONS, costs=costs), folder)
    found = next_steps(folder)
    assert (found.kind, found.state) == ("comparison", "stopped: 0 of 4 trainings")
    assert typed(found) == [f"nas compare --run '{folder}'", f"nas compare '{folder}'"]
    with locked(folder):
        found = next_steps(folder)
    assert typed(found) == [f"nas compare '{folder}'"]
    assert found.steps[0].watches


def test_a_finished_comparison_without_a_sure_difference_gets_more_seeds(tmp_path: Path) -> None:
    with quick_trainings():
        compare(replace(TWO, repeats=1), tmp_path / "run")
    more, shown, export = typed(next_steps(tmp_path / "run"))
    assert more == f"nas compare --run {tmp_path}/run --repeats 2"
    assert shown == f"nas compare {tmp_path}/run"
    assert export.startswith(f"nas export {tmp_path}/run/trainings/")


@pytest.mark.parametrize(("seeds", "proposed"), [(1, ["2"]), (8, ["12"]), (12, [])])
def test_a_comparison_gets_no_more_than_twelve_seeds(seeds: int, proposed: list[str]) -> None:
    found = SimpleNamespace(run="run", seeds=tuple(range(seeds)), networks=())
    commands = [step.command for step in finished_steps(found)]  # type: ignore[arg-type]
    assert [each.split()[-1] for each in commands if "--repeats" in each] == proposed
