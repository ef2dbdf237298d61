"""What commands print, and files for other projects: the parts that are the same on every machine."""

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import typer.main
from old_runs import copy_old_run

from nas.cli import app, main
from nas.export_formats import read_source
from search_spaces.architecture import Architecture
from search_spaces.interchange import FORMATS, to_text
from search_spaces.yaml_io import ConfigError

COMMANDS = tuple(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
NETWORKS = tuple(sorted(path.stem for path in Architecture.SHIPPED.glob("*.yaml")))
IN_FULL = ("efficientnet-b0", "efficientnetv2-s", "resnet50")

# Typed in a folder that holds `first`, the checked-in run of the first version, stopped half-way, and
# `second`, the one of the second, finished. Those of the second tuple print JSON.
SCREENS = (
    "status first",
    "status second",
    "verify first",
    "verify second",
    "export second",
    "export second --trial 4 --format timm",
    "export second --trial 4 --format automl",
    "export second --trial 4 --format torchvision",
    "export second --pareto -o front",
    "export first --pareto -o front",
    "report second",
    "describe efficientnetv2-s",
    "describe efficientnetv2-s --classes 10 --resolution 32",
    "describe resnet50",
    "describe second/best.yaml",
    "describe tiny",
    "describe paper",
    "import tf_efficientnetv2_s --from timm",
    "import efficientnetv2-s --from automl",
    "import efficientnet_v2_s --from torchvision",
    "scale efficientnetv2-b0 --phi 1 --phi -1 --like efficientnet-b3",
    "scale second/best.yaml --depth 1.5 --width 1.25 --late-layers --fix-ends",
    "simulate small_cifar10 --strategies random_search,evolution --seeds 2 --trials 30",
)
FIGURES = (
    "status first --json",
    "status second --json",
    "status . --json",
    "verify first --json",
    "verify second --json",
    "report second --json",
    "report second --reward params=-0.1 --json",
    "describe efficientnetv2-s --json",
    "describe resnet50 --json",
    "describe tiny --json",
    "scale efficientnetv2-b0 --phi 1 --phi -1 --like efficientnet-b3 --params 12e6 --json",
    "simulate small_cifar10 --strategies random_search,evolution,nsga2 --seeds 2 --trials 30 --json",
)


# ---------------------------------------------------------------------- typing commands


@contextmanager
def folder_of_runs(folder: Path) -> Iterator[None]:
    """In that folder, with both old runs and 80 columns; standing where the caller stood afterwards."""
    for name, version in (("first", "run_v1"), ("second", "run_v2")):
        copy_old_run(folder / name, version)
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"
    try:
        with chdir(folder):
            yield
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns


def typed(command: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    words, out, err, code = sys.argv, io.StringIO(), io.StringIO(), 0
    sys.argv = ["nas", *command.split()]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = words
    return code, out.getvalue(), err.getvalue()


def screen(command: str) -> list[str]:
    """Lines that a command prints; those on standard error and an exit code are marked."""
    code, out, err = typed(command)
    lines = [line.rstrip() for line in out.splitlines()]
    lines += [f"stderr: {line.rstrip()}" for line in err.splitlines()]
    return lines + ([f"exit code {code}"] if code else [])


# ---------------------------------------------------------------------- records


def help_record() -> dict[str, list[str]]:
    """Help of the program and of each command."""
    commands = ["--help", *(f"{name} --help" for name in COMMANDS)]
    return {f"nas {command}": screen(command) for command in commands}


def screens_record() -> dict[str, list[str]]:
    """Screens of commands."""
    return {f"nas {command}": screen(command) for command in SCREENS}


def figures_record() -> dict[str, Any]:
    """JSON of commands."""
    found: dict[str, Any] = {}
    for command in FIGURES:
        code, out, _ = typed(command)
        assert code == 0, command
        found[f"nas {command}"] = json.loads(out)
    found["nas status . --json"]["runs"].sort(key=lambda run: run["run"])  # listed by times of files
    return found


def exports_record() -> dict[str, dict[str, Any]]:
    """Texts of published networks in every format, of most their digests alone; or why there is none."""
    return {name: _exports(name) for name in NETWORKS}


def _exports(name: str) -> dict[str, Any]:
    source = read_source(name, trial=None)
    found: dict[str, Any] = {"yaml": _shown(name, source.yaml)}
    for format_name in FORMATS:
        try:
            found[format_name] = _shown(name, to_text(format_name, source.architecture))
        except ConfigError as refusal:
            found[format_name] = f"refused: {refusal}"
    return found


def _shown(name: str, text: str) -> list[str] | str:
    return text.splitlines() if name in IN_FULL else f"sha256 {sha256(text.encode()).hexdigest()[:16]}"


# ---------------------------------------------------------------------- the report's page


class Visible(HTMLParser):
    """Lines of a page that are read: those of pictures, styles and scripts are left out."""

    BLOCKS = frozenset({"p", "tr", "li", "h1", "h2", "h3", "div", "dt", "dd", "pre", "figcaption", "summary"})
    HIDDEN = frozenset({"style", "script", "svg", "title"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in self.HIDDEN
        self.parts += ["\n"] if tag in self.BLOCKS else [" "]

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in self.HIDDEN
        self.parts += ["\n"] if tag in self.BLOCKS else [" "]

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)

    def lines(self) -> list[str]:
        """Without those that are empty, and without the time of writing."""
        text = re.sub(r"written \d{4}-\d\d-\d\d \d\d:\d\d UTC", "written TIME", "".join(self.parts))
        return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def page_record() -> dict[str, list[str]]:
    """The text of the second run's report, which `nas report second` has written."""
    assert typed("report second")[0] == 0
    visible = Visible()
    visible.feed(Path("second/report.html").read_text())
    return {"report of run_v2": visible.lines()}
