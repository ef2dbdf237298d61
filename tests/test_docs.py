"""What the documents tell people to type exists; the KubeRay manifest hangs together."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from nas.cli import app

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def typed(text: str) -> list[str]:
    """The `nas` commands of indented blocks, lines that go on joined."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    found = [line for line in lines if re.match(r" {4,}.*\bnas [a-z]+", line) and ">>>" not in line]
    return [re.split(r"\s{2,}|\s#", re.sub(r"^.*?\bnas ", "nas ", line.strip()))[0] for line in found]


def unknown(command: str) -> list[str]:
    """Words of a command that nas does not know."""
    words = [word for word in shlex.split(command.replace("…", "")) if word]
    name, rest = words[1], words[2:]
    if name not in COMMANDS:
        return [name]
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    return [word for word in rest if re.match(r"--?[a-z]", word) and word.split("=")[0] not in options]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_documents_name_exist(document: Path) -> None:
    commands = typed(document.read_text())
    assert commands or document.name != "README.md"
    assert {command: unknown(command) for command in commands if unknown(command)} == {}


def test_a_wrong_option_would_be_noticed() -> None:
    (command,) = typed("text\n\n    nas search a.yaml --wrokers 2   # no such\n")
    assert unknown(command) == ["--wrokers"]
    assert unknown("nas serach a.yaml") == ["serach"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_of_the_repository_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_kuberay_manifest_hangs_together() -> None:
    manifest: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "rayjob.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    entrypoint = manifest["spec"]["entrypoint"]
    assert unknown(entrypoint) == []
    assert "--ray-address auto" in entrypoint
    cluster = manifest["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for template in (cluster["headGroupSpec"]["template"], group["template"]):
        (container,) = template["spec"]["containers"]
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]
    paths = re.findall(r"/shared/\S+", entrypoint)
    assert len(paths) == 3
    assert group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
