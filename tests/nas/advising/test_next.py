"""nas next: what to do now with a folder, and why; each command is one that the command line takes."""

import json
import os
import shlex
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from advised import finish, locked, typed
from conftest import MakeConfig, Nas
from formula_searches import run_search, run_until
from full_trainings import CONFIG
from pictures import write_folder
from places import GOLDEN
from screens import screen_text
from timed_again import write_timed_again

from nas.advising.advice import Advice
from nas.advising.audit_steps import LEAST_AUDITED
from nas.advising.next_steps import next_steps
from nas.advising.search_steps import FEW_TRIALS, advice_of
from nas.results.status import Best, RunStatus, run_status
from nas.screens.advice import advice_screen
from nas.search.config import read_search_config
from nas.search.recorded_config import recorded_config
from nas.training.config import record_config
from search_spaces.settings.yaml_files import read_yaml, yaml_text
from trials.log.row_types import TrialRow
from trials.log.run_reader import read_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of eight trials, in a folder whose name has a space."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(GOLDEN / "run_v2", "my runs/flowers"))


def advised(run: Path, *, rows: dict[int, TrialRow] | None = None, **changes: Any) -> Advice:
    """The advice for a run of which parts are replaced as given."""
    found: RunStatus = replace(run_status(run), **changes)
    return advice_of(run, found, recorded_config(run), read_run(run).trials if rows is None else rows)


def many(run: Path, count: int, **changes: Any) -> dict[int, TrialRow]:
    """Rows of a run and copies of its first completed one, with columns replaced as given."""
    rows = read_run(run).trials
    row = next(row for row in rows.values() if row["status"] == "completed" and row["purpose"] == "search")
    copies = {1000 + i: {**row, "trial_id": 1000 + i, **changes} for i in range(count)}
    return {**rows, **copies}  # type: ignore[dict-item]


def test_advice_with_a_finished_run_of_few_trials_is_to_go_on_then_to_train(run: Path) -> None:
    place = "'my runs/flowers"
    assert typed(next_steps(run)) == [
        f"nas search {place}/search.yaml' --run {place}' --set budget.trials=24",
        f"nas train {place}/best.yaml' --data digits",
        f"nas export {place}' -o winner.yaml",
        f"nas report {place}' --open",
    ]


def test_a_search_goes_on_with_the_larger_budget_of_its_advice(
    make_config: MakeConfig, nas: Nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(budget={"trials": 6}, baseline=3)
    run_search(config, Path("run"))
    command = typed(next_steps(Path("run")))[0]
    option, value = shlex.split(command)[-2:]
    assert option == "--set"
    _, _, total = value.partition("=")
    more = replace(config, budget=replace(config.budget, trials=int(total)))
    run_search(more, Path("run"))
    found = run_status(Path("run"))
    assert (found.state, found.budget.total) == ("finished", 18)


def test_enough_trials_are_audited_after_the_winner_is_trained(run: Path) -> None:
    rows = many(run, max(FEW_TRIALS, LEAST_AUDITED))
    assert [command.split()[1] for command in typed(advised(run, rows=rows))] == [
        "train", "audit", "export", "report",
    ]  # fmt: skip
    fewer = many(run, LEAST_AUDITED - 9)
    assert "nas audit 'my runs/flowers'" not in typed(advised(run, rows=fewer))
    (run / "audit" / "log" / "parts").mkdir(parents=True)
    again = advised(run, rows=rows).steps[1]
    assert (again.command, again.note) == ("nas audit 'my runs/flowers'", "continues")
    shutil.rmtree(run / "audit")
    shutil.copytree(run, run.parent / "audited")
    shutil.move(run.parent / "audited", run / "audit")  # a run in which all 8 trials have ended
    assert [command.split()[1] for command in typed(advised(run, rows=rows))] == ["train", "export", "report"]


def test_an_audit_that_stopped_goes_on_as_it_was_begun(make_config: MakeConfig, run: Path) -> None:
    config = make_config()
    run_until(config, run / "audit", rows=4)
    epochs = config.recipe.epochs
    command = f"nas audit 'my runs/flowers' --trials 12 --epochs {epochs}"
    assert command in typed(advised(run))
    with locked(run / "audit"):
        watch = next(step for step in advised(run).steps if "/audit" in step.command)
    assert watch.command == "nas status 'my runs/flowers/audit' --watch"
    assert watch.watches


def test_a_winner_that_is_exported_is_not_exported_again(run: Path) -> None:
    assert "nas export 'my runs/flowers' -o winner.yaml" in typed(next_steps(run))
    shutil.copy(run / "best.yaml", "winner.yaml")
    assert not any("winner.yaml" in command for command in typed(next_steps(run)))
    Path("winner.yaml").write_text(yaml_text(CONFIG.architecture))
    assert "nas export 'my runs/flowers' -o flowers-winner.yaml" in typed(next_steps(run))
    Path("flowers-winner.yaml").write_text(yaml_text(CONFIG.architecture))
    assert not any("winner.yaml" in command for command in typed(next_steps(run)))


def test_images_of_another_folder_are_named_by_who_knows_where_they_lie(run: Path) -> None:
    config, rows = recorded_config(run), many(run, 30)

    def found(source: str, **changes: Any) -> Advice:
        there = replace(config, data=replace(config.data, source=source))
        return advice_of(run, replace(run_status(run), **changes), there, rows)

    train = found("pictures").steps[0]
    assert train.command.startswith("nas train 'my runs/flowers/best.yaml' --data IMAGES")
    assert train.reason.endswith("; its images, pictures, are not in this folder")
    assert found("pictures").fill_in == ("IMAGES",)
    goes_on = found("pictures", state="stopped").steps[0]
    assert goes_on.command.endswith(" --set data.source=IMAGES")
    assert found("pictures", state="stopped").fill_in == ("IMAGES",)
    for here in ("/anywhere/pictures", "https://host/x.parquet", "digits"):
        assert here in found(here).steps[0].command
    Path("pictures").mkdir()
    assert "--data pictures" in found("pictures").steps[0].command
    gone = replace(config, data=replace(config.data, source="gone"))
    nothing = advice_of(run, replace(run_status(run), best=None), gone, {})
    assert nothing.steps[0].command.startswith("nas doctor IMAGES --search ")
    assert nothing.fill_in == ("IMAGES",)


def test_a_space_without_more_networks_is_not_searched_for_longer(run: Path) -> None:
    budget = replace(run_status(run).budget, spent=7.0)
    assert typed(advised(run, budget=budget))[0].startswith("nas train ")


def test_crashes_and_uncertain_times_are_notes_that_hinder_no_step(run: Path) -> None:
    crashed = many(run, 10, status="crashed")
    found = advised(run, rows=crashed, failure_kind={"oom": 10})
    assert typed(found)[0].startswith("nas search ")
    (note,) = found.notes
    assert note.command == "nas doctor digits --search 'my runs/flowers/search.yaml'"
    assert "10 of 22 trials crashed (oom)" in note.reason
    flagged = many(run, 30, timing_flag="unstable")
    found = advised(run, rows=flagged)
    assert typed(found)[0].startswith("nas train ")
    (note,) = found.notes
    assert note.command == "nas doctor"
    assert "of step times are uncertain" in note.reason
    few = many(run, 1, timing_flag="unstable", status="completed")
    assert not advised(run, rows=few).notes


def test_a_winner_whose_step_time_is_uncertain_is_measured_again_once(run: Path) -> None:
    best = run_status(run).best
    assert isinstance(best, Best)
    found = advised(run, best=replace(best, uncertain_step_time="uncertain: the clock fell"))
    (note,) = found.notes
    assert note.command == "nas measure --run 'my runs/flowers'"
    assert "the clock fell" in note.reason
    rows = list(read_run(run).trials.values())
    write_timed_again(run, {best.trial_id: 0.9}, rows, device_name="elsewhere")  # type: ignore[arg-type]
    assert not advised(run, best=replace(best, uncertain_step_time="uncertain: the clock fell")).notes


def test_the_state_names_the_objective_that_the_search_goes_by(run: Path) -> None:
    best = run_status(run).best
    assert isinstance(best, Best)
    found = advised(run, best=replace(best, objective="balanced_accuracy", objective_value=0.5))
    assert found.state.endswith("(trial 2, balanced accuracy 0.5000)")


def test_a_run_in_which_nothing_has_completed_is_examined(run: Path) -> None:
    rows = {key: row for key, row in read_run(run).trials.items() if row["status"] != "completed"}
    found = advised(run, rows=rows, best=None)
    assert typed(found) == ["nas doctor digits --search 'my runs/flowers/search.yaml'"]


def test_a_stopped_run_goes_on_and_a_damaged_one_is_repaired_before(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "a run"
    run_until(make_config(), folder, rows=4)
    goes_on = f"nas search '{folder}/search.yaml' --run '{folder}'"
    found = next_steps(folder)
    assert typed(found)[0] == goes_on
    assert found.state.startswith("stopped: 4 of 12 trials, best reward")
    damaged = advice_of(
        folder, replace(run_status(folder), unreadable=("p1", "p2")), recorded_config(folder),
        read_run(folder).trials,
    )  # fmt: skip
    assert typed(damaged)[:2] == [f"nas verify '{folder}' --repair", goes_on]
    assert "2 files" in damaged.steps[0].reason


def test_a_running_search_is_watched(run: Path) -> None:
    with locked(run):
        found = next_steps(run)
    assert typed(found)[0] == "nas status 'my runs/flowers' --watch"
    assert [step.watches for step in found.steps] == [True, False]
    assert not any(command.startswith("nas train") for command in typed(found))


def test_the_winners_training_takes_over(run: Path) -> None:
    winner = read_yaml(type(CONFIG.architecture), run / "best.yaml")
    folder = Path("train/mine")
    folder.mkdir(parents=True)
    record_config(replace(CONFIG, architecture=winner), folder)
    found = typed(next_steps(run))
    assert "nas train --run train/mine" in found
    assert not any(command.startswith("nas train") and "best.yaml" in command for command in found)
    finish(folder)
    assert "nas evaluate train/mine/weights/best.safetensors --data IMAGES" in typed(next_steps(run))
    Path("train/again").mkdir()
    shutil.move(folder, "train/again/repeat-0")
    assert any("train/again/repeat-0/weights" in command for command in typed(next_steps(run)))
    shutil.move("train/again/repeat-0", folder)
    other = replace(CONFIG, architecture=replace(winner, head_channels=winner.head_channels + 8))
    (folder / "training.yaml").unlink()
    record_config(other, folder)
    assert any("best.yaml" in command for command in typed(next_steps(run)))


def test_advice_with_images_and_with_nothing(tmp_path: Path, nas: Nas) -> None:
    write_folder(tmp_path / "my flowers", per_class=2)
    found = next_steps(Path("my flowers"))
    assert found.kind == "images"
    assert typed(found) == [
        "nas doctor 'my flowers' --search photos",
        "nas search photos --set 'data.source=my flowers' --budget 30m --run 'runs/my flowers'",
    ]
    write_folder(tmp_path / "-mine", per_class=2)
    assert typed(next_steps(Path("-mine"))) == [
        "nas doctor ./-mine --search photos",
        "nas search photos --set data.source=-mine --budget 30m --run runs/-mine",
    ]
    for name in ("nowhere", "."):
        Path("empty").mkdir(exist_ok=True)
        found = next_steps(Path(name if name == "nowhere" else "empty"))
        assert typed(found) == ["nas doctor", "nas search quick"]
    code, out, said = nas("next", __file__)
    assert (code, out) == (2, "")
    assert "this is a file" in said


@pytest.mark.parametrize("name", ["2024", "1e3", "null", "#x", "a: b", "[x]", "'", "a b", 'say "x"'])
def test_a_folder_of_images_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / name, per_class=1)
    words = shlex.split(typed(next_steps(Path(name)))[1])
    config = read_search_config("photos", overrides=[words[words.index("--set") + 1]])
    assert config.data.source == name


def test_paths_that_begin_with_a_hyphen_are_no_options(run: Path) -> None:
    shutil.move(run, "-run")
    commands = typed(next_steps(Path("-run")))
    assert commands[0].startswith("nas search ./-run/search.yaml --run ./-run ")
    assert "nas train ./-run/best.yaml --data digits" in commands
    Path("-t").mkdir()
    record_config(CONFIG, Path("-t"))
    assert typed(next_steps(Path("-t"))) == ["nas train --run ./-t"]
    finish(Path("-t"))
    assert all("./-t" in command for command in typed(next_steps(Path("-t"))))


def test_of_a_folder_of_runs_the_last_changed_one_is_taken(run: Path, nas: Nas) -> None:
    shutil.copytree(GOLDEN / "run_v1", "my runs/stopped")
    os.utime(run, (0, 0))
    assert next_steps(run.parent).path == "my runs/stopped"
    with locked(run):
        os.utime(run, (0, 0))
        assert next_steps(run.parent).path == "my runs/flowers"
    os.utime("my runs/stopped", (-10, -10))
    assert next_steps(run.parent).path == "my runs/flowers"
    code, out, _ = nas("next", "my runs", "--json")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(asdict(next_steps(run.parent))))


def test_screen_says_why_before_each_command_and_what_to_fill_in(run: Path) -> None:
    lines = screen_text(advice_screen(next_steps(run)), width=80).splitlines()
    assert lines[0] == "my runs/flowers"
    assert lines[1].startswith("finished: 8 of 8 trials, best reward")
    assert lines[2].startswith("now: the strategy itself has chosen 5 completed trials")
    assert [line for line in lines if line.startswith("    nas ")][1].startswith("    nas train ")
    folder = Path("training")
    folder.mkdir()
    record_config(CONFIG, folder)
    finish(folder)
    last = screen_text(advice_screen(next_steps(folder)), width=80).splitlines()[-1]
    assert last == "put your own in the place of IMAGES, PICTURES, USER/NAME and LICENSE"
