"""The recipe that is named for the full training of a search's winner."""

from pathlib import Path

import pytest
from conftest import MakeConfig
from formula_searches import run_search

from nas.commands.output import show
from nas.report.facts import read_facts
from nas.report.page import page
from nas.results.summary import search_summary
from nas.screens.summary import summary_screen
from nas.training.suited_recipe import suited_recipe, training_command
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml


@pytest.mark.parametrize(
    ("space", "resolution", "recipe"),
    [
        ("tiny", 32, "cifar10"),
        ("cifar", 32, "cifar10"),
        ("cifar", 64, "photos"),  # its first stage would do, but 32 px are fewer than its trials had
        ("photos", 32, "photos"),  # at 16 px its last map has one pixel
        ("photos", 64, "photos"),
        ("paper", 128, "photos"),
        ("paper", 192, "full_s"),
    ],
)
def test_recipe_suits_the_stride_of_a_network_and_the_images_of_its_trials(
    space: str, resolution: int, recipe: str
) -> None:
    network = read_yaml(SearchSpace, space).reference
    assert suited_recipe(network, resolution=resolution) == recipe
    command = training_command("best.yaml", network, resolution=resolution, data="my images")
    named = "" if recipe == "cifar10" else f" --recipe {recipe}"
    assert command == f"nas train best.yaml --data 'my images'{named}"
    of_uneven_classes = training_command(
        "best.yaml", network, resolution=resolution, data="my images",
        objective="balanced_accuracy", class_weights="balanced",
    )  # fmt: skip
    settings = "--set objective=balanced_accuracy --set recipe.class_weights=balanced"
    assert of_uneven_classes == f"{command} {settings}"


def test_a_search_and_its_report_name_the_recipe_in_a_line_that_can_be_copied(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line that is longer than the terminal is wide is neither split nor cut off."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    folder = Path("runs") / "photos-of-flowers-and-birds"
    result = run_search(make_config(space="photos", budget={"trials": 2}, baseline=1), folder)
    show(False, lambda: None, lambda: summary_screen(result, search_summary(result)))
    command = f"nas train {folder}/best.yaml --data digits --recipe photos"
    assert f"       {command}" in capsys.readouterr().out.splitlines()
    assert command in page(read_facts(folder))
