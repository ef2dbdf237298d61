"""The record of a run's own ops: the digest of each module that they consist of, and who is trusted."""

import json
import shlex
from pathlib import Path
from typing import Any

from search_spaces.networks.own_modules import OwnOps, changed_sources
from search_spaces.networks.trusted import PACKAGE
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_records import read_record
from trials.log.file_names import OWN_OPS_FILE


def own_ops_record(own: OwnOps) -> bytes:
    """The content of the file, which is part of the run's identity."""
    record = {"ops": own.ops, "trusted": own.trusted, "sources": own.sources}
    return json.dumps(record, indent=1).encode() + b"\n"


def check_same_ops(folder: Path) -> None:
    """Compares the own ops that this process has imported with those that a run was begun with.

    Raises:
        ConfigError: the file of one of their modules has changed, or the record does not read.
    """
    recorded = _read(folder)
    if recorded is not None and (changed := changed_sources(recorded["sources"])):
        lines = "\n".join(f"  {line}" for line in changed)
        raise ConfigError(
            f"{folder}: this run was made with another code of its own ops:\n{lines}\nPut the earlier code "
            "back, or choose another --run"
        )


def trust_words(run: Path | str) -> str:
    """The end of a command that builds networks of a run: --trust of each package that its user trusted."""
    try:
        recorded = _read(Path(run))
    except ConfigError:  # whoever needs the file says so
        return ""
    packages = [] if recorded is None else recorded["trusted"]
    return "".join(f" --trust {shlex.quote(package)}" for package in packages)


def _read(folder: Path) -> dict[str, Any] | None:
    return read_record(folder / OWN_OPS_FILE, _checked, if_damaged="put it back from a copy of the run")


def _checked(value: Any) -> dict[str, Any]:
    if others := [each for each in value["trusted"] if PACKAGE.fullmatch(each) is None]:
        raise ValueError(f"not names of packages: {others}")
    return {
        "trusted": list(value["trusted"]),
        "sources": {str(name): str(digest) for name, digest in value["sources"].items()},
    }
