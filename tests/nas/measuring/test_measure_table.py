"""nas measure --table: the conditions it takes, and what it shows."""

from dataclasses import replace
from pathlib import Path

import pytest
from block_tables import CLASSES, RESOLUTION, made_up_table, small_space, space_blocks
from schema_files import validate
from screens import screen_text

from nas.commands.output import json_text
from nas.measuring.measure_table import table_request
from nas.measuring.table_figures import table_figures, table_json
from nas.screens.measure_table import table_screen
from search_spaces.choices.limits import Limits
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml, write_yaml
from trials.timing.block_fit import fit_table


def test_table_of_a_search_file_is_measured_under_its_conditions(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "space: tiny\n"
        "data: {source: digits}\n"
        "recipe: {epochs: 2, batch_size: 48, resolution: 16, stochastic_depth: 0.1, precision: fp32}\n"
        "timing: {resolution: 24}\n"
        "strategy: random_search\n"
        "reward: {step_time_ratio: -0.07}\n"
        "step_time: predicted\n"
        "budget: {trials: 20}\n"
    )
    nothing = {"num_classes": None, "resolution": None, "batch_size": None, "precision": None}
    wanted = table_request(str(tmp_path / "mine.yaml"), **nothing)
    found = wanted.conditions
    assert (found.batch_size, found.resolution, found.num_classes, found.precision) == (48, 24, 10, "fp32")
    assert (found.averages_weights, found.drops_branches) == (False, True)
    given = {"num_classes": 7, "resolution": 32, "batch_size": 8, "precision": "bf16"}
    found = table_request(str(tmp_path / "mine.yaml"), **given).conditions
    assert (found.batch_size, found.resolution, found.num_classes, found.precision) == (8, 32, 7, "bf16")
    found = table_request("tiny", **{**nothing, "precision": "fp32"}).conditions
    assert (found.resolution, found.num_classes, found.averages_weights) == (224, 1000, True)


def test_a_table_of_a_space_within_whose_limits_nothing_is_is_refused_before_it_is_measured(
    tmp_path: Path,
) -> None:
    write_yaml(replace(small_space(), limits=Limits(params=1000.0)), path := tmp_path / "space.yaml")
    nothing = {"num_classes": None, "resolution": None, "batch_size": None, "precision": "fp32"}
    with pytest.raises(ConfigError, match=r"space\.yaml: .*params"):
        table_request(str(path), **nothing)


@pytest.mark.parametrize("name", ["cifar", "small"])
def test_screen_of_a_block_table_shows_every_stage_in_80_columns(name: str) -> None:
    space = small_space() if name == "small" else read_yaml(SearchSpace, name)
    fit = fit_table(made_up_table(space, factor=1.02))
    figures = table_figures(fit, path=Path("table.json"), seconds=420.0)
    assert len(figures.stages) == len(space.stages)
    assert figures.blocks == len(space_blocks(space, RESOLUTION))
    text = screen_text(table_screen(figures))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("\nstage ") == len(space.stages)
    assert f"{CLASSES} classes" in text
    assert "7.0 min" in text
    assert f"mean of {figures.whole_networks}" in text


def test_json_holds_expansion_ratios_that_are_no_whole_numbers() -> None:
    figures = table_figures(fit_table(made_up_table(small_space(), factor=1.02)), path=Path("t"), seconds=1.0)
    option = replace(figures.stages[0][0], expansion_ratio=2.5)
    printed = validate("measure", json_text(table_json(replace(figures, stages=((option,),)))))
    assert printed["stages"][0][0]["expansion_ratio"] == 2.5


def test_json_holds_conditions_and_times_of_blocks_on_one_level() -> None:
    fit = fit_table(made_up_table(small_space(), factor=1.02))
    figures = table_figures(fit, path=Path("table.json"), seconds=420.0)
    printed = validate("measure", json_text(table_json(figures)))
    assert (printed["file"], printed["device_name"]) == ("table.json", figures.conditions.device_name)
    for options, shown in zip(figures.stages, printed["stages"], strict=True):
        for option, found in zip(options, shown, strict=True):
            assert found["first_backward_seconds"] == option.first.backward_seconds
            assert (found["repeated_forward_seconds"] is None) == (option.repeated is None)
