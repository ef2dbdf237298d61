"""JSON of all commands: each has --json, a schema with a version, and prints what the schema allows."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from comparisons import against, comparison_of, network_figures
from conftest import Nas
from documents import COMMANDS, options
from places import GOLDEN
from schema_files import FOLDER, file_of, shape_of, validate
from small_networks import SMALL

from nas.commands.output import json_text
from nas.commands.schemas import PRINTED, schema_of
from nas.results.audit import AuditFigures, TooFewAudited
from search_spaces.settings.yaml_files import write_yaml

each_command = pytest.mark.parametrize("command", PRINTED)


def test_every_command_has_json_and_a_schema() -> None:
    assert set(PRINTED) == set(COMMANDS)
    assert [name for name in COMMANDS if "--json" not in options(name)] == []


@each_command
def test_the_shape_of_a_published_version_does_not_change(command: str) -> None:
    version = PRINTED[command][0]
    published = [FOLDER / f"{command}-{number}.json" for number in range(1, version + 1)]
    assert [file.name for file in published if not file.is_file()] == [], (
        "python tests/fixtures/schema_files.py writes the file of a new version"
    )
    assert json.loads(file_of(command).read_text()) == shape_of(schema_of(command)), (
        f"what nas {command} --json prints has another shape: raise its version in nas/commands/schemas.py"
    )


def test_every_published_shape_belongs_to_a_command() -> None:
    assert {file.stem.rpartition("-")[0] for file in FOLDER.iterdir()} == set(PRINTED)


@each_command
def test_a_schema_is_one_and_names_its_version(command: str, nas: Nas) -> None:
    code, out, _ = nas("schema", command)
    schema = json.loads(out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert code == 0
    assert schema["$id"] == f"nas-{command}-{PRINTED[command][0]}"
    assert schema == schema_of(command)


def test_words_are_no_part_of_a_shape_and_keys_of_the_same_name_are() -> None:
    schema = {"title": "A", "type": "object", "properties": {"title": {"type": "string", "title": "Title"}}}
    other: dict[str, Any] = copy.deepcopy(schema)
    other["title"], other["properties"]["title"]["title"] = "B", "C"
    assert shape_of(schema) == shape_of(other)
    other["properties"]["title"]["type"] = "integer"
    assert shape_of(schema) != shape_of(other)


@pytest.fixture
def folder(nas: Nas) -> Path:
    """A folder with a finished run, a stopped one, and the winner's architecture."""
    shutil.copytree(GOLDEN / "run_v2", "runs/finished")
    shutil.copytree(GOLDEN / "run_v1", "runs/stopped")
    write_yaml(SMALL, Path("small.yaml"))
    return Path.cwd()


@pytest.mark.parametrize(
    "words",
    [
        "status runs/finished", "status runs/stopped", "status runs", "next runs/finished", "next nowhere",
        "describe small.yaml", "describe tiny", "describe runs/finished", "space small.yaml",
        "space small.yaml -o space.yaml", "export small.yaml", "export runs/finished -o winner.yaml",
        "export runs/finished --pareto -o front", "export runs/finished --optuna sqlite:///runs.db",
        "import tf_efficientnetv2_b0 --from timm", "import tf_efficientnetv2_b0 --from timm -o b0.yaml",
        "scale small.yaml --phi 1", "verify runs/finished", "verify runs/stopped",
        "report runs/finished", "schema",
    ],
)  # fmt: skip
def test_what_a_command_prints_is_what_its_schema_allows(words: str, folder: Path, nas: Nas) -> None:
    code, out, _ = nas(*words.split(), "--json")  # checked there
    assert code == 0
    assert len(out.splitlines()) == 1


def test_a_command_that_fails_prints_nothing_on_standard_output(nas: Nas) -> None:
    code, out, said = nas("status", "nowhere", "--json")
    assert (code, out) == (2, "")
    assert "nowhere" in said


def test_figures_of_audits_and_comparisons_are_what_their_schemas_allow() -> None:
    few = TooFewAudited("run", architectures=0)
    full = AuditFigures("run", 20, 5, 0.01, 0.6, (0.4, 0.8), 0.8, None, 0.001, None)
    for figures in (few, full):
        validate("audit", json_text(figures))
    networks = (network_figures("a"), network_figures("b", against_first=against(0.02, sure=True)))
    validate("compare", json_text(comparison_of(*networks)))


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"more": 1}, "unexpected"), ({"verdict": None}, "'string'"), ({"hinders": 0.5}, "integer"),
    ],
)  # fmt: skip
def test_what_a_schema_does_not_allow_would_be_noticed(change: dict[str, Any], refused: str) -> None:
    printed = {"hinders": 0, "notes": 0, "verdict": "fine", "findings": []}
    assert validate("doctor", json.dumps(printed)) == printed
    with pytest.raises(jsonschema.ValidationError, match=refused):
        validate("doctor", json.dumps(printed | change))
    del printed["notes"]
    with pytest.raises(jsonschema.ValidationError, match="required"):
        validate("doctor", json.dumps(printed))
    with pytest.raises(ValueError, match="NaN is no JSON"):
        validate("doctor", '{"hinders": NaN}')


def test_a_number_that_is_none_is_printed_as_null() -> None:
    assert json_text({"a": [float("nan"), 1.5], "b": float("-inf")}) == '{"a": [null, 1.5], "b": null}'
    assert json_text(TooFewAudited("run", architectures=0)) == '{"run": "run", "architectures": 0}'


def test_a_schema_of_no_command_is_refused_with_what_is_near(nas: Nas) -> None:
    code, out, said = nas("schema", "stauts")
    assert (code, out) == (2, "")
    assert said.startswith("'stauts' is not a command; commands are search, describe,")
    assert said.endswith("(did you mean 'status'?)\n")
