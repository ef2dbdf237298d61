"""A scaled family as files, picture, screen and command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Nas
from folders import files_of
from PIL import Image
from saved_figures import points, saved_figures
from scaled_networks import QUIET, base_of, scaled_quietly, screen_of
from schema_files import validate
from small_networks import UNROUNDED

from nas.commands.output import json_text
from nas.scaling.family import Request
from nas.scaling.figures import family_json
from nas.scaling.files import scale_into
from nas.scaling.published import PUBLISHED
from nas.scaling.solver import Budget, budgets_of
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.figures import architecture_figures
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml, write_yaml


@pytest.fixture
def winner(tmp_path: Path) -> Path:
    """A searched architecture, as `nas export` writes it."""
    path = tmp_path / "winner.yaml"
    provenance = {"run": "flowers", "trial_id": 7, "accuracy": 0.9, "num_classes": 10, "resolution": 32}
    write_yaml(replace(UNROUNDED, provenance=provenance), path)
    return path


def test_files_of_a_family_hold_members_and_provenance(winner: Path, tmp_path: Path) -> None:
    request = Request(source=str(winner), phis=(2, -0.5), like=("efficientnet-b3",))
    result, files = scale_into(tmp_path / "a" / "family", request, force=False, console=QUIET)
    names = ["winner-phi-0.5.yaml", "winner-phi2.yaml", "winner-like-efficientnet-b3.yaml"]
    assert [path.name for path in files[:-1]] == names
    assert {path.name for path in files} == {path.name for path in files[0].parent.iterdir()}
    for path, member in zip(files, result.members, strict=False):
        read = read_yaml(Architecture, path)
        assert read == member.architecture
        told = read.provenance
        assert told is not None
        assert (told["base"], told["base_architecture_id"]) == (str(winner), UNROUNDED.architecture_id)
        assert (told["run"], told["trial_id"]) == ("flowers", 7)
        assert "accuracy" not in told
        assert told["params"] == member.params
        assert told["training_resolution"] == member.training_resolution
        described = architecture_figures(read, name=path.name)
        assert (described.macs, described.num_classes) == (member.macs, 10)
    second = read_yaml(Architecture, files[1]).provenance
    assert second is not None
    assert (second["phi"], second["alpha"], second["rounding"]) == (2, 1.2, "v2")
    assert second["depth"] == pytest.approx(1.44)


def test_a_written_member_can_be_scaled_again(winner: Path, tmp_path: Path) -> None:
    request = Request(source=str(winner), phis=(1,))
    result, files = scale_into(tmp_path / "family", request, force=False, console=QUIET)
    again = base_of(str(files[0]))
    assert again.builds_the_same(result.members[0])
    assert again.num_classes == 10


def test_files_of_two_families_lie_side_by_side_and_none_is_replaced_unasked(
    winner: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "family"
    first = Request(source=str(winner), phis=(1, 2))
    scale_into(folder, first, force=False, console=QUIET)
    scale_into(folder, Request(source=str(winner), phis=(3,)), force=False, console=QUIET)
    before = files_of(folder)
    assert len(before) == 5
    with pytest.raises(ConfigError, match=r"winner-phi1\.yaml: this file exists; .* --force"):
        scale_into(folder, replace(first, phis=(1, 4)), force=False, console=QUIET)
    assert files_of(folder) == before
    scale_into(folder, first, force=True, console=QUIET)


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({"phis": (1,), "measure": True}, "winner-phi1.yaml"),
        ({"phis": (1, 2), "measure": True}, "winner-phi1-to-phi2.png"),
        ({"budgets": (Budget(params=40e3),), "measure": True}, None),
        ({"phis": (1,), "budgets": (Budget(step_time_ratio=2.0),)}, "winner-phi1.yaml"),
        ({"budgets": (Budget(step_time_ratio=2.0),)}, "winner-phi3.yaml"),
    ],
)
def test_a_file_that_exists_is_refused_before_anything_is_measured(
    changes: dict[str, Any], there: str | None, winner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*arguments: object, **named: object) -> None:
        raise AssertionError("a step was measured first")

    monkeypatch.setattr("nas.scaling.family.StepTimer", measured)
    request = Request(source=str(winner), **changes)
    if there is None:  # it is found without measuring
        (member,) = scaled_quietly(source=str(winner), budgets=request.budgets).members
        there = f"winner-{member.name}.yaml"
    (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigError, match=f"{there}: this file exists.* --force"):
        scale_into(tmp_path, request, force=False, console=QUIET)
    with pytest.raises(AssertionError, match="a step was measured"):
        scale_into(tmp_path, request, force=True, console=QUIET)


def test_picture_of_a_family_has_a_named_point_for_each_member_and_a_ring_for_the_base(
    winner: Path, tmp_path: Path
) -> None:
    request = Request(source=str(winner), phis=(1, 2, 3))
    with saved_figures() as figures:
        family, files = scale_into(tmp_path / "family", request, force=False, console=QUIET)
    with Image.open(files[-1]) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 400
    (axes,) = figures[0].axes
    members, (base,) = points(axes)
    assert members.tolist() == [[member.params, member.macs] for member in family.members]
    assert base.tolist() == [family.base.params, family.base.macs]
    names = [text.get_text() for text in axes.texts]
    assert names == ["winner", *(f"{m.name}, {m.inference_resolution} px" for m in family.members)]
    (line,) = axes.lines
    assert len(line.get_xydata()) == 4


def test_picture_of_a_family_has_a_dashed_line_for_each_budget(winner: Path, tmp_path: Path) -> None:
    base = base_of(str(winner))
    budgets = budgets_of({"params": [2.0 * base.params, 3.0 * base.params]}, epochs=None, images=None)
    with saved_figures() as figures:
        scale_into(
            tmp_path / "family", Request(source=str(winner), budgets=budgets), force=False, console=QUIET
        )
    (axes,) = figures[0].axes
    dashed = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"]
    assert dashed == [2 * base.params, 3 * base.params]


def test_screen_of_a_family_fits_80_columns(winner: Path) -> None:
    like = tuple(name for name in PUBLISHED if PUBLISHED[name].width)
    result = scaled_quietly(source="efficientnetv2-b0", like=like, phis=(-1, 2.123456, 8))
    text = screen_of(result, [])
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("next:"))
    assert "…" not in text
    for words in ("like-efficientnet-b3", "phi2.12346", "480*", "add -o FOLDER"):
        assert words in text
    grid = screen_of(scaled_quietly(source=str(winner), grid=True), [])
    assert all(len(line) <= 80 for line in grid.splitlines() if not line.startswith("next:"))
    assert "that takes training them" in " ".join(grid.split())
    assert "more; -o FOLDER writes all of them" in grid


def test_figures_of_a_family_are_one_json_object(winner: Path) -> None:
    result = scaled_quietly(source=str(winner), phis=(1, 1, 2))
    figures = validate("scale", json_text(family_json(result, [])))
    assert [member["name"] for member in figures["members"]] == ["phi1", "phi2"]
    assert figures["base"]["source"] == str(winner)
    assert figures["members"][0]["macs_ratio"] > 1
    assert figures["members"][0]["step_seconds"] is None


def test_scaling_without_members_or_of_a_space_is_refused(winner: Path) -> None:
    with pytest.raises(ConfigError, match="say which members: --phi 1"):
        scaled_quietly(source=str(winner))
    with pytest.raises(ConfigError, match="this is a space; nas scale takes an architecture"):
        scaled_quietly(source="tiny", phis=(1,))


def test_scale_command_shows_and_writes_a_family(winner: Path, nas: Nas, tmp_path: Path) -> None:
    folder = tmp_path / "family"
    code, out, said = nas(
        "scale", winner, "--phi", 1, "--phi", -1, "--params", "40e3", "-o", folder, "--json"
    )
    assert code == 0, said
    figures = json.loads(out)
    assert {Path(file).suffix for file in figures["files"]} == {".yaml", ".png"}
    assert all(Path(file).is_file() for file in figures["files"])
    (within,) = [member for member in figures["members"] if member["budget"]]
    assert within["params"] <= 40_000
    assert within["binds"] == ["params"]


def test_scale_command_has_the_permitted_options_and_no_others(nas: Nas) -> None:
    """Factors, budgets and rules; a new flag needs a reason and a line here."""
    lines = nas("scale", "--help")[1].split("Options:")[1].splitlines()
    words = " ".join(line[:30] for line in lines if line.startswith("  -")).replace(",", " ").split()
    assert {word for word in words if word.startswith("-")} == {
        "--phi", "--alpha", "--beta", "--gamma", "--depth", "--width", "--resolution", "--like", "--from",
        "--grid", "--params", "--macs", "--step-time-ratio", "--hours", "--epochs", "--images",
        "--rounding", "--v1", "--late-layers", "--fix-ends", "--classes", "--base-resolution",
        "--measure", "--batch-size", "-o", "--output", "--force", "--trust", "--json", "--help",
    }  # fmt: skip
