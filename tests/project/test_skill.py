"""docs/SKILL.md: what an assistant reads leads from a folder of images to weights and an export."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from conftest import Nas
from documents import COMMANDS, DOCS, typed
from pictures import write_folder
from schema_files import validate

from nas.advising.advice import PLACEHOLDERS
from nas.commands.exit_codes import EXIT_CODES

SKILL = DOCS / "SKILL.md"
TEXT = SKILL.read_text()
STEPS = typed(TEXT[TEXT.index("## Five commands") : TEXT.index("\n1. ")])

# Beside the options of the page, in the place of --budget: seconds in the place of half an hour.
ONE_EPOCH = (
    *("--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0", "--set", "recipe.precision=fp32"),
    *("--set", "recipe.batch_size=12"),
)
SHORTER: dict[str, tuple[str, ...]] = {
    "search": (
        *("--in-process", "--set", "budget.trials=2", "--set", "baseline=1", "--set", "finalists=null"),
        *("--set", "space=tiny"),
        *(*ONE_EPOCH, "--set", "recipe.resolution=32"),
    ),
    "train": (*ONE_EPOCH, "--set", "recipe.num_training_stages=1", "--set", "recipe.resolution=32"),
}


def words(command: str) -> list[str]:
    """A command's words in the test: its own images, and no time budget."""
    found = [word for word in shlex.split(command) if word not in ("--budget", "30m")]
    found = [re.sub(r"\bLICENSE\b", "mit", word) for word in found]
    return [re.sub(r"\bTEST\b", "test", re.sub(r"\bIMAGES\b", "images", word)) for word in found]


def test_a_folder_of_images_becomes_weights_and_an_export_in_five_commands(
    nas: Nas, timed_in_few_rounds: None
) -> None:
    pytest.importorskip("onnxscript")
    write_folder(Path("images"), per_class=12)
    write_folder(Path("test"), per_class=4)
    assert [command.split()[1] for command in STEPS] == ["doctor", "search", "train", "evaluate", "export"]
    said = {}
    for command in STEPS:
        name = command.split()[1]
        code, out, err = nas(*words(command)[1:], *SHORTER.get(name, ()))
        assert code == 0 or name == "doctor", err
        said[name] = validate(name, out)
        if name == "search":
            code, out, _ = nas("next", "runs/mine", "--json")
            advised = validate("next", out)["steps"]
            begun = "nas train runs/mine/best.yaml --data images"
            assert any(step["command"].startswith(begun) for step in advised)
    assert said["search"]["run"] == "runs/mine"
    assert Path(said["train"]["weights"]) == Path("train/mine/weights/best.safetensors")
    assert Path(said["train"]["weights"]).stat().st_size > 10_000
    assert said["evaluate"]["images"] == 12
    handed = Path(said["export"]["file"])
    assert all((handed / name).stat().st_size > 10_000 for name in ("weights/best.safetensors", "model.onnx"))
    card = (handed / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\n")
    assert "Trial " in card.partition("## Search and audit")[2]
    advised = validate("next", nas("next", "train/mine", "--json")[1])
    assert set(advised["fill_in"]) <= {word for word in PLACEHOLDERS if word in TEXT}


@pytest.mark.parametrize("command", [each for each in typed(TEXT) if f"    {each}" in TEXT])
def test_every_command_of_the_page_is_one_that_the_command_line_takes(command: str) -> None:
    name, *rest = shlex.split(command)[1:]
    COMMANDS[name].make_context(name, rest)


def test_the_page_is_short_and_says_when_it_is_of_use() -> None:
    _, front, _ = TEXT.split("---\n", maxsplit=2)
    facts = yaml.safe_load(front)
    assert facts.keys() == {"name", "description"}
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", facts["name"])
    assert len(facts["name"]) <= 64
    assert "Use when" in facts["description"]
    assert len(facts["description"]) <= 1024
    assert len(TEXT.splitlines()) <= 150


def test_exit_codes_of_the_page_are_those_of_the_table() -> None:
    (said,) = re.findall(r"^- Exit code (.*?)(?=^- |\Z)", TEXT, flags=re.M | re.S)
    named = {int(code) for code in re.findall(r"\b(\d+)(?=[:,]\s)", said)}
    assert named <= {each.code for each in EXIT_CODES}
    assert {0, 1, 2, 74, 75, 130, 143} <= named
