"""Environments of a run: what each start of a driver wrote down of its machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from search_spaces.settings.json_text import json_value
from trials.log.file_names import ENVIRONMENT_FOLDER
from trials.log.run_folder import STARTS


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One start of a driver, as far as a report tells it; None: it was not written down."""

    host: str | None
    platform: str | None
    python: str | None
    cuda: str | None
    cpu: str | None
    packages: Mapping[str, str]  # versions of those that were installed
    command: str | None


def read_environments(run: Path) -> tuple[Environment, ...]:
    """The environments of a run, in the order of its starts; damaged files are left out."""
    found = []
    for path in sorted((run / ENVIRONMENT_FOLDER).glob(STARTS)):
        try:
            facts = json_value(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict):
            found.append(_environment(facts))
    return tuple(found)


def _environment(facts: Mapping[str, object]) -> Environment:
    def text(name: str) -> str | None:
        return str(facts[name]) if facts.get(name) else None

    packages, command = facts.get("packages"), facts.get("command")
    return Environment(
        host=text("host"),
        platform=text("platform"),
        python=text("python"),
        cuda=text("cuda"),
        cpu=text("cpu"),
        packages={
            name: str(version)
            for name, version in (packages.items() if isinstance(packages, dict) else ())
            if version
        },
        command=" ".join(map(str, command)) if isinstance(command, list) else None,
    )
