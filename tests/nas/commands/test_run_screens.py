"""Screens of a run that is there: nas describe RUN, nas export's file, nas status in all its states."""

import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import Nas
from places import GOLDEN
from rich.console import Console

from nas.report.facts import read_facts
from nas.report.page import page
from nas.results.status import RunStatus, run_status
from nas.screens.status import status_screen
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml, write_yaml


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of eight trials and two finalists."""
    return Path(shutil.copytree(GOLDEN / "run_v2", tmp_path / "runs" / "flowers"))


def shown(found: RunStatus, *, watched: bool = False) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(status_screen(found, watched=watched), crop=False)
    return capture.get()


def test_version_option_prints_the_installed_version(nas: Nas) -> None:
    assert nas("--version") == (0, f"nas {version('training-aware-nas')}\n", "")


def test_describing_a_run_describes_its_winner(run: Path, nas: Nas) -> None:
    code, out, _ = nas("describe", "runs/flowers")
    best = read_yaml(Architecture, run / "best.yaml")
    assert code == 0
    assert best.provenance is not None
    assert f"runs/flowers (trial {best.provenance['trial_id']})" in out
    assert best.architecture_id in out
    accuracy = sum(best.provenance["repeated_accuracies"]) / 2
    assert f"from run flowers, trial 2, accuracy {accuracy:.4f}, reward 0.7779\n" in out
    mean = "mean reward 0.7779 of 2 more trainings with other seeds, 2 epochs each"
    assert f"     {mean}; 95 %: 0.7604 to 0.7955\n" in out
    assert "10 classes" in out


def test_an_architecture_of_no_known_origin_has_no_line_on_it(nas: Nas, tmp_path: Path) -> None:
    network = read_yaml(Architecture, "efficientnet-b0")
    for provenance in ({"num_classes": 10}, {"repeated_rewards": ["high"]}, {"repeated_rewards": 3}):
        write_yaml(replace(network, provenance=provenance), tmp_path / "net.yaml")
        code, out, _ = nas("describe", "net.yaml")
        assert (code, out.splitlines()[-1][-11:]) == (0, "MACs at 224 px"[-11:])


@pytest.mark.parametrize("form", ["yaml", "timm", "torch"])
def test_parameters_of_no_number_of_classes_are_refused(form: str, nas: Nas, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "run_v1", tmp_path / "made_up")
    code, out, said = nas("export", "made_up", "--format", form, "-o", "file")
    assert (code, out) == (2, "")
    assert said.startswith("made_up: trial 3: the log has 1,120 parameters, which its architecture has with")
    assert said.endswith("take another trial, or another run\n")
    assert not Path("file").exists()
    assert nas("describe", "made_up")[0] == 0


def test_a_verified_run_says_how_many_trials_will_run_again(run: Path, nas: Nas, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "run_v1", tmp_path / "stopped")
    assert nas("verify", "stopped")[1].splitlines()[1] == "6 trials, 1 will run again"
    assert nas("verify", "runs/flowers")[1].splitlines()[1] == "12 trials"


@pytest.mark.parametrize("source", ["runs/flowers", "efficientnetv2-s"])
def test_first_line_of_an_exported_file_is_the_command_that_shows_it(
    source: str, run: Path, nas: Nas
) -> None:
    assert nas("export", source, "-o", "mine/winner.yaml")[0] == 0
    assert Path("mine/winner.yaml").read_text().splitlines()[0] == "# nas describe mine/winner.yaml"
    assert nas("describe", "mine/winner.yaml")[0] == 0


def test_first_line_of_each_file_of_a_pareto_front_names_that_file(run: Path, nas: Nas) -> None:
    assert nas("export", "runs/flowers", "--pareto", "-o", "front")[0] == 0
    files = list(Path("front").iterdir())
    assert files
    for file in files:
        assert file.read_text().splitlines()[0] == f"# nas describe {file}"


def test_status_without_arguments_lists_the_folder_runs(run: Path, nas: Nas) -> None:
    code, out, _ = nas("status")
    assert code == 0
    assert "flowers" in out
    assert "nas status runs/flowers" in out


def test_trials_of_a_stopped_run_are_not_called_in_flight(run: Path) -> None:
    found = replace(run_status(run), in_flight=3)
    assert "3 will run again" in shown(replace(found, state="stopped"))
    assert "3 in flight" in shown(replace(found, state="running", driver="somebody"))


def test_watched_status_does_not_recommend_watching(run: Path) -> None:
    found = replace(run_status(run), state="running", driver="somebody")
    assert "--watch" in shown(found)
    assert "--watch" not in shown(found, watched=True)


def test_report_counts_every_start_after_the_first_as_a_stop_before_it(run: Path) -> None:
    assert "was stopped" not in str(page(read_facts(run)))
    first = run / "environment" / "0001.json"
    for number in (2, 3):
        shutil.copy(first, run / "environment" / f"{number:04d}.json")
    assert "The search was stopped 2 times" in str(page(read_facts(run)))
