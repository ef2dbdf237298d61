"""Wrong input gets the message of the catalogue, exit code 2, no traceback, and leaves nothing behind.

`tests/golden/errors.yaml` is the catalogue; WRITE_CATALOGUE=1 in the environment writes it anew. In its
messages DIR is the folder of the case, and … stands for what differs between machines.
"""

import os
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest
import typer.main
import yaml
from comparison_error_cases import COMPARISONS
from data_error_cases import DATA
from error_cases import FILES, RUNS, SEARCHES, SPACES, Case
from hub_error_cases import HUB
from identity_error_cases import IDENTITIES
from interchange_error_cases import EXPORTS, IMPORTS
from network_error_cases import AROUND, MODULES
from newcomer_error_cases import NEWCOMERS
from places import GOLDEN
from report_error_cases import AUDITS, REPORTS
from scaling_error_cases import SCALES
from simulated_error_cases import SIMULATED
from stage_error_cases import STAGES
from training_error_cases import TRAININGS

from nas.cli import app, main

CATALOGUE = GOLDEN / "errors.yaml"
CASES = (
    *FILES, *SEARCHES, *SPACES, *DATA, *RUNS, *SIMULATED, *SCALES, *REPORTS, *AUDITS, *EXPORTS, *IMPORTS,
    *TRAININGS, *COMPARISONS, *IDENTITIES, *AROUND, *MODULES, *STAGES, *NEWCOMERS, *HUB,
)  # fmt: skip
VARYING = (
    (r"damaged \(.*\);", "damaged (…);"),
    (r"not a readable Parquet file: .*", "not a readable Parquet file: …"),
    (r"\d+ slots?\b", "… slots"),
    (r"there are \d+ x .*\)\. Search", "there are …). Search"),
    (r"--workers \d+ or fewer", "--workers … or fewer"),
    (r"there (are|is) only \d+ (core|GPU)s?, (.*) --devices \d+", r"there are only … \2s, \3 --devices …"),
    (r"[\d.]+ [GM]B (are )?free", r"… GB \1free"),
    (r"timm (is not installed here; pip install timm|does not load beside torch .*)", "timm …"),
)


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def message_of(case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed when the case is typed; asserts all that is owed besides."""
    for name, text in case.files.items():
        (folder / name).write_text(text)
    case.prepare(folder)
    before = listing(folder)
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert ended.value.code == 2, captured.err
    assert "Traceback" not in captured.err
    assert listing(folder) == before, "something was left behind"
    message = captured.err.replace(str(folder), "DIR")
    for pattern, replacement in VARYING:
        message = re.sub(pattern, replacement, message)
    return "\n".join(line.rstrip() for line in message.strip().splitlines())


def test_the_catalogue_has_at_least_sixty_cases_of_different_names() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_message_on_wrong_input_is_that_of_the_catalogue(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["nas", *case.arguments])
    message = message_of(case, tmp_path, capsys)
    if os.environ.get("WRITE_CATALOGUE"):
        write(case, message)
        catalogue.cache_clear()
    assert message == catalogue()[case.name]["says"]


def test_messages_name_only_options_that_the_command_has() -> None:
    unknown = {}
    for case in CASES:
        typed, says = shlex.split(catalogue()[case.name]["typed"]), catalogue()[case.name]["says"]
        unknown[case.name] = options_in(says, typed[1]) - set(typed)
    assert {name: options for name, options in unknown.items() if options} == {}


def options_in(message: str, command: str) -> set[str]:
    """Options in a message that are not those of the command that is named before them, else of `command`."""
    found = set()
    for sentence in re.split(r"[;:,.(`\n]\s", message):  # of other programs, in `...`, too
        whose = command
        for word in re.findall(r"nas \w+|ray start|(?<![\w-])--?[a-z][\w-]*", sentence):
            if not word.startswith("-"):
                whose = word.removeprefix("nas ")
            elif whose in known_options():
                found |= {word} - {*known_options()[whose], "--help"}
    return found


@cache
def known_options() -> dict[str, list[str]]:
    """Options by command."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return {
        name: [option for each in command.params for option in each.opts]
        for name, command in commands.items()
    }


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """What is checked in; reading it takes a tenth of a second."""
    entries: dict[str, dict[str, str]] = yaml.safe_load(CATALOGUE.read_text())
    return entries


def write(case: Case, message: str) -> None:
    """Puts one entry into the catalogue, in the order of CASES."""
    known = yaml.safe_load(CATALOGUE.read_text()) if CATALOGUE.exists() else {}
    known[case.name] = {"typed": shlex.join(("nas", *case.arguments)), "says": message}
    text = "# What wrong input is told. Written by: "
    text += "WRITE_CATALOGUE=1 pytest tests/error_catalogue/test_error_catalogue.py\n"
    for name in (case.name for case in CASES if case.name in known):
        lines = "".join(f"    {line}\n" for line in known[name]["says"].splitlines())
        text += f"{name}:\n  typed: {yaml.safe_dump(known[name]['typed'], width=1000).splitlines()[0]}\n"
        text += f"  says: |-\n{lines}"
    CATALOGUE.write_text(text)
