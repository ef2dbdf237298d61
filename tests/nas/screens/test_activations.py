"""Screens, JSON and the report's pictures tell activations where they are not SiLU, and only there."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from block_tables import SMALL as SMALL_SPACE
from block_tables import made_up_table
from screens import screen_text
from small_networks import SMALL

from nas.commands.output import json_text
from nas.measuring.table_figures import table_figures, table_json
from nas.report.diagram import stage_diagram
from nas.report.facts import stage_words
from nas.screens.architecture import architecture_screen, stage_table
from nas.screens.describe_space import space_screen
from nas.screens.measure_table import table_screen
from search_spaces.choices.figures import space_figures
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.figures import architecture_figures
from search_spaces.settings.yaml_files import from_mapping
from trials.timing.block_fit import fit_table

RELU = replace(SMALL, activation="relu6")
MIXED = replace(SMALL, stages=(replace(SMALL.stages[0], activation="gelu"), *SMALL.stages[1:]))


def described(architecture: Architecture) -> tuple[str, str]:
    """The screen, and what --json prints."""
    figures = architecture_figures(architecture, name="it", num_classes=10, resolution=32)
    return screen_text(architecture_screen(architecture, figures)), json_text(figures)


def test_a_network_of_silu_says_nothing_of_it() -> None:
    for text in described(SMALL):
        assert '"activation"' not in text
        assert "silu" not in text
    assert "activation" not in screen_text(stage_table(SMALL))


def test_one_activation_everywhere_is_told_once_above_the_table() -> None:
    screen, text = described(RELU)
    assert screen.count("relu6") == 1
    assert screen.splitlines()[1].endswith("padding; relu6")
    assert json.loads(text)["activation"] == "relu6"
    assert screen_text(stage_table(RELU)).count("relu6") == len(RELU.stages)  # which stands without that line


def test_a_stage_of_another_activation_has_it_in_a_column() -> None:
    screen, text = described(MIXED)
    assert "activation" in screen
    assert screen.count("gelu") == 1
    assert screen.count("silu") == len(MIXED.stages) - 1
    assert max(map(len, screen.splitlines())) <= 80
    figures = json.loads(text)
    assert [stage.get("activation") for stage in figures["stages"]] == ["gelu", None, None]
    assert "activation" not in figures


@pytest.mark.parametrize(
    ("options", "shown"), [(None, ""), (["hard_swish", "silu"], "hard_swish|silu"), ("gelu", "gelu")]
)
def test_options_of_a_space_are_shown(options: object, shown: str) -> None:
    stages = [{**SMALL_SPACE["stages"][0], "activation": options}, SMALL_SPACE["stages"][1]]  # type: ignore[index]
    if options is None:
        del stages[0]["activation"]
    space = from_mapping(SearchSpace, {**SMALL_SPACE, "stages": stages}, name="space.yaml")
    text = screen_text(
        space_screen(space, space_figures(space, name="it", num_classes=10, resolution=32), ())
    )
    assert ("activation" in text) == bool(shown)
    assert shown in text.replace("\n", " ")
    figures = table_figures(fit_table(made_up_table(space)), path=Path("t.json"), seconds=1.0)
    screen, values = screen_text(table_screen(figures)), json_text(table_json(figures))
    assert ("activation" in screen) == ('"activation"' in values) == bool(shown)
    assert max(map(len, screen.splitlines())) <= 80
    for name in shown.replace("silu", "").split("|"):
        assert name in screen
        assert name in values


def test_pictures_and_words_of_a_stage_tell_its_activation_and_mark_another() -> None:
    assert stage_words(MIXED.stages[0]) == stage_words(SMALL.stages[0]).replace(" ×", " gelu ×")
    plain, changed = (
        str(stage_diagram(architecture, other=SMALL, label="it")) for architecture in (SMALL, MIXED)
    )
    assert "silu" not in plain
    assert changed.count(">gelu<") == 1
    assert changed.count('class="changed"') == 1
    back = str(stage_diagram(SMALL, other=MIXED, label="it"))
    assert back.count(">silu<") == 1  # where the reference has another
