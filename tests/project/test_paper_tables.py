"""The paper's tables as commands: each runs at toy size, and its numbers are those of the fact sheet."""

import csv
import dataclasses
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from pictures import PNG
from places import GOLDEN, REPOSITORY
from saved_figures import number_of_points, saved_figures

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.settings.yaml_files import read_yaml, to_mapping
from trials.recipe import Ramp, Recipe

PAPER = REPOSITORY / "tests" / "benchmarks" / "paper"
TABLES: dict[str, Any] = yaml.safe_load((GOLDEN / "paper_tables.yaml").read_text())
COMMANDS = sorted(path.stem for path in PAPER.glob("*_*.py") if "main()" in path.read_text())
TRAINING = ("table5_magnitude", "table12_networks", "table13_ablation")


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for folder in (PAPER.parent, PAPER):
        monkeypatch.syspath_prepend(str(folder))
    return __import__(name)


def test_readme_of_the_papers_tables_lists_every_command() -> None:
    text = (PAPER / "README.md").read_text()
    assert len(COMMANDS) == 8
    assert all(f"`{command}.py`" in text for command in COMMANDS)


def only_progressive(command: str) -> tuple[str, ...]:
    """Recipes without random sizes train those cells that need none."""
    known = {field.name for field in dataclasses.fields(Recipe)}
    needs = command == "table13_ablation" and "resolution_schedule" not in known
    return ("--schedules", "progressive") if needs else ()


def marked(command: str) -> Any:
    """A command as a case of a test; such as train run at night."""
    nightly = (pytest.mark.nightly, pytest.mark.timeout(900)) if command in TRAINING else ()
    return pytest.param(command, marks=nightly)


@pytest.mark.parametrize("command", [marked(command) for command in COMMANDS])
def test_commands_of_the_papers_tables_run_at_toy_size(
    command: str,
    tmp_path: Path,
    as_a_worker: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process: loading torch takes longer than all else."""
    rows, picture = tmp_path / "rows.csv", tmp_path / "picture.png"
    words = ("--quick", "--csv", rows, "--png", picture, *only_progressive(command))
    monkeypatch.setattr(sys, "argv", [command, *map(str, words)])
    with saved_figures() as figures:
        module(command, monkeypatch).main()
    out = capsys.readouterr().out
    for word in ("comparable:", "not comparable:", "paper's numbers:", "--quick:"):
        assert word in out
    with rows.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert read
    assert all(row["device_name"] for row in read)
    assert picture.read_bytes().startswith(PNG)
    (figure,) = figures
    assert number_of_points(figure) >= len(read)


def test_the_cells_of_table_13_differ_in_regularization_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    command = module("table13_ablation", monkeypatch)
    adaptive = read_yaml(Recipe, "cifar10")
    assert command.cell_recipe(adaptive, "progressive", "adaptive") == adaptive
    fixed = command.cell_recipe(adaptive, "progressive", "fixed")
    assert fixed.resolution == adaptive.resolution
    assert {stage.randaugment for stage in fixed.training_stages()} == {adaptive.randaugment.end}
    assert vars(fixed.training_stages()[-1]) == pytest.approx(vars(adaptive.training_stages()[-1]))


def test_baseline_of_table_12_is_the_progressive_recipes_last_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    trainings = module("paper_trainings", monkeypatch)
    progressive = read_yaml(Recipe, "cifar10")
    baseline = trainings.at_its_end(progressive)
    (only,) = baseline.training_stages()
    last = progressive.training_stages()[-1]
    for name in ("resolution", "dropout", "randaugment", "mixup", "cutmix"):
        assert getattr(only, name) == pytest.approx(getattr(last, name))


def test_table_12_compares_times_at_equal_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    trainings = module("paper_trainings", monkeypatch)
    training = trainings.Training(seconds=(10.0, 20.0, 30.0), accuracies=(0.5, 0.7, 0.6))
    assert training.accuracy == 0.6
    assert training.seconds_until(0.6) == 20.0
    assert training.seconds_until(0.9) == 30.0
    table12 = module("table12_networks", monkeypatch)
    faster = trainings.Training(seconds=(5.0, 10.0, 15.0), accuracies=(0.5, 0.7, 0.8))
    lines = table12.differences("net", {"baseline": [training] * 2, "progressive": [faster] * 2})
    assert "accuracy: +20.00" in lines[0]
    assert "epochs: -50.00" in lines[1]
    assert "accuracy: -50.00" in lines[2]  # both reach 0.7: at 10 and at 20 seconds


def test_interaction_of_size_and_magnitude_in_table_5_is_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    command = module("table5_magnitude", monkeypatch)
    paper = TABLES["table5"]["rows"]
    trainings = module("paper_trainings", monkeypatch)
    found = {
        (size, magnitude): [trainings.Training((1.0,), (top1 / 100,))]
        for size, row in paper.items()
        for magnitude, (top1, _) in row.items()
    }

    class Arguments:
        sizes, magnitudes = list(paper), [5, 10, 15]

    assert "+1.30 points" in command.interaction(found, Arguments)
    assert [max(row, key=lambda m: row[m][0]) for row in paper.values()] == [5, 10, 15]


def test_rewards_of_table_3_are_the_fact_sheets() -> None:
    rows = TABLES["table3"]["rows"]
    for where, expected in (
        ("tpu_v3", [0.828, 0.848508, 0.810479, 0.740506]),
        ("v100", [0.828, 0.849016, 0.818583, 0.75704]),
    ):
        rewards = [
            row["top1"] / 100
            * (rows["none"][where] / row[where]) ** -0.07
            * (row["params"] / rows["none"]["params"]) ** -0.05
            for row in rows.values()
        ]  # fmt: skip
        assert rewards == pytest.approx(expected, abs=1e-6)


def test_sizes_that_the_paper_prints_agree_with_the_networks_counted() -> None:
    """To what the paper rounds to, and the other counts of V2-S, V2-L and B0 that the fact sheet explains."""
    printed = {
        (row.get("network", name), row["params"])
        for table in TABLES.values()
        for name, row in table["rows"].items()
        if str(name).startswith("efficientnet") and row.get("params")
    }
    assert len(printed) >= 16
    for name, params in printed:
        counted = count(read_yaml(Architecture, name), num_classes=1000, resolution=32).params / 1e6
        assert params == pytest.approx(counted, rel=0.04 if params != 24 else 0.13)


def test_marks_of_the_papers_tables_name_cells_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = module("paper_tables", monkeypatch)
    assert list(TABLES) == [f"table{number}" for number in range(1, 14)]
    for table in TABLES:
        cells = tables.cells_of(table)
        assert cells
        for mark in ("checked", "seen"):
            assert tables.marked_cells(table, mark) <= cells, table


@pytest.mark.parametrize(
    ("table", "column", "expected"),
    [
        ("table7", "top1", {"s": 83.9, "m": 85.1, "l": 85.7}),
        ("table7", "top1", {"s-21k": 84.9, "m-21k": 86.2, "l-21k": 86.8, "xl": 87.3}),
        ("table7", "train_hours", {"s": 7.1, "m": 13, "l": 24}),
        ("table7", "train_hours", {"s-21k": 9, "m-21k": 15, "l-21k": 26, "xl": 45}),
        ("table7", "infer_ms", {"s": 24, "m": 57, "l": 98}),
        ("table7", "params", {"s": 22, "m": 54, "l": 120, "xl": 208}),
        ("table7", "flops", {"s": 8.8, "m": 24, "l": 53, "xl": 94}),
        ("table8", "params", {"s": 24, "m": 55, "l": 121}),
        ("table10", "train_hours", {"m": 13}),
        ("table11", "top1", {"b0": 78.7, "b1": 79.8, "b3": 82.1}),
        ("table11", "params", {"b0": 7.4, "b1": 8.1, "b3": 14, "s": 24}),
        ("table11", "flops", {"b0": 0.7, "b1": 1.2, "b3": 3.0, "s": 8.8}),
    ],
)  # fmt: skip
def test_checked_cells_of_efficientnetv2_are_the_fact_sheets(
    table: str, column: str, expected: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, checked = TABLES[table]["rows"], module("paper_tables", monkeypatch).marked_cells(table, "checked")
    assert {size: rows[f"efficientnetv2-{size}"][column] for size in expected} == expected
    assert {f"efficientnetv2-{size}: {column}" for size in expected} <= checked


def test_table_4_is_the_shipped_network() -> None:
    network = read_yaml(Architecture, "efficientnetv2-s")
    first, *rows, last = TABLES["table4"]["rows"].values()
    assert (first["channels"], first["stride"]) == (network.stem_channels, network.stem_stride)
    assert last["channels"] == network.head_channels
    for row, stage in zip(rows, network.stages, strict=True):
        assert to_mapping(stage) == {"se_ratio": 0.0, **row}


@pytest.mark.parametrize("size", ["s", "m", "l"])
def test_table_6_is_the_shipped_recipes(size: str) -> None:
    recipe = read_yaml(Recipe, f"full_{size}")
    for name, (start, end) in TABLES["table6"]["rows"][f"efficientnetv2-{size}"].items():
        assert getattr(recipe, name) == Ramp(start, end), name


def test_comparisons_of_the_papers_text_follow_from_its_tables() -> None:
    """Section 5.2: V2-L against ViT-L/16, both on ImageNet-21k; section 5.1: V2-M against B7."""
    rows = TABLES["table7"]["rows"]
    ours, theirs = rows["efficientnetv2-l-21k"], rows["vit-l-16-21k"]
    assert ours["top1"] - theirs["top1"] == pytest.approx(1.5)
    assert round(theirs["params"] / ours["params"], 1) == 2.5
    assert round(theirs["flops"] / ours["flops"], 1) == 3.6
    assert 6 < theirs["train_hours"] / ours["train_hours"] < 7
    assert round(rows["efficientnet-b7"]["train_hours"] / rows["efficientnetv2-m"]["train_hours"]) == 11
    assert rows["efficientnetv2-xl"]["top1"] - theirs["top1"] == pytest.approx(2.0)


def test_differences_of_table_13_are_the_fact_sheets() -> None:
    rows = TABLES["table13"]["rows"]
    gains = [row["adaptive"][0] - row["fixed"][0] for row in rows.values()]
    assert gains == pytest.approx([0.8, 0.7])


def test_networks_of_timm_are_left_out_where_timm_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates = module("candidates", monkeypatch)
    monkeypatch.setattr(candidates, "timm_module", lambda: None)
    assert candidates.timm_candidates(["nfnet-f0", "resnet50"]) == []
    assert "timm does not import" in capsys.readouterr().out


def test_cells_of_table_5_train_by_a_recipe_of_constant_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells of Table 5 differ in size and magnitude alone."""
    trainings = module("paper_trainings", monkeypatch)

    class Arguments:
        recipe, epochs, batch_size, source = "cifar10", 3, 32, "images"
        learning_rate, averaging_decay = 0.002, None

    recipe = trainings.at_its_end(
        trainings.base_recipe(
            Arguments, num_training_stages=1, resolution=Ramp(48, 48), randaugment=Ramp(5, 5)
        )
    )
    (stage,) = recipe.training_stages()
    assert (stage.resolution, stage.randaugment, stage.epochs) == (48, 5, 3)
    assert (recipe.learning_rate, recipe.averaging_decay) == (0.002, 0.999)


@pytest.mark.parametrize(
    ("command", "words", "what"),
    [
        ("table5_magnitude", ("--sizes", "16"), "images of 16 px are too small"),
        ("table12_networks", ("--resolution", "32"), "images of 16 px are too small"),
        ("table13_ablation", ("--resolution", "32"), "images of 16 px are too small"),
        ("table12_networks", ("--networks", "resnet51"), "did you mean 'resnet18' or 'resnet50'"),
        ("table13_ablation", ("--recipe", "cifar11"), "did you mean 'cifar10'"),
        ("table5_magnitude", ("nowhere.parquet",), "nowhere.parquet: there is no such file"),
    ],
)
def test_impossible_trainings_of_the_papers_tables_are_refused_before_any(
    command: str,
    words: tuple[str, ...],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [command, *words])
    with pytest.raises(SystemExit) as ended:
        module(command, monkeypatch).main()
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert what in err
