"""Runs whose files have changed, and places that hold no run, for the catalogue of messages."""

from pathlib import Path

from error_cases import Case
from old_runs import run_counted
from small_files import SEARCH

from nas.search.config import SearchConfig
from search_spaces.settings.yaml_files import from_mapping, parse_yaml


def _searched(folder: Path) -> Path:
    config = from_mapping(SearchConfig, parse_yaml(SEARCH, name="mine.yaml"), name="mine.yaml")
    return run_counted(config, folder / "run").folder


def _edited(folder: Path) -> None:
    path = _searched(folder) / "search.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 1"))


def _without_search_file(folder: Path) -> None:
    (_searched(folder) / "search.yaml").unlink()


def _edited_winner(folder: Path) -> None:
    path = _searched(folder) / "best.yaml"
    path.write_text(path.read_text().replace("head_channels: ", "head_channels: 1", 1))


IDENTITIES = (
    Case("the state of a run whose search file was edited", ("status", "run"), prepare=_edited),
    Case(
        "a run that goes on by an edited search file",
        ("search", "run/search.yaml", "--run", "run"),
        prepare=_edited,
    ),
    Case(
        "a run that goes on with another objective",
        ("search", "run/search.yaml", "--run", "run", "--set", "objective=balanced_accuracy"),
        prepare=_searched,
    ),
    Case("a run whose search file is gone", ("report", "run"), prepare=_without_search_file),
    Case("a winner that was edited", ("describe", "run/best.yaml"), prepare=_edited_winner),
    Case("a run in a place that is unknown", ("status", "ftp://host/run")),
    Case(
        "checkpoints in a place that is unknown",
        ("search", "quick", "--run", "new", "--set", "checkpoint_dir=ftp://host/states"),
    ),
    Case(
        "a training in a place that is unknown",
        ("train", "efficientnetv2-s", "--data", "digits", "--run", "ftp://host/train"),
    ),
    Case("a bucket without a path", ("search", "quick", "--run", "s3://bucket")),
    Case("a bucket with an odd name", ("verify", "gs://bucket/../run")),
)
