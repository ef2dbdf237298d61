"""The configuration that a run was made with, wherever it is read again."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_run import write_run

from nas.measuring.retarget import retargeted
from nas.report.facts import read_facts
from nas.results.optuna_export import export_study
from nas.results.status import run_status
from nas.results.verify import verify_run
from nas.search.audit import plan_audit
from nas.search.config import read_search_config
from nas.search.recorded_config import recorded_config
from nas.simulation.outcome_model import modelled_run
from search_spaces.settings.config_error import ConfigError

READERS: dict[str, Callable[[Path], object]] = {
    "nas status": run_status,
    "nas report": read_facts,
    "nas audit": lambda run: plan_audit(run, trials=3, epochs=100),
    "nas simulate": modelled_run,
    "nas export --device": lambda run: retargeted(run, "elsewhere"),
    "nas export --optuna": lambda run: export_study(run, storage="sqlite://", force=False),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose search.yaml somebody has changed by hand."""
    folder = tmp_path_factory.mktemp("broken") / "run"
    write_run(folder, 20)
    file = folder / "search.yaml"
    file.write_text(file.read_text() + "sed: 1\n")
    return folder


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_search_file_that_does_not_read_is_refused_with_its_run(
    read: Callable[[Path], object], broken: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        read(broken)
    first, second = str(refused.value).splitlines()
    assert first == f"{broken}: its search.yaml does not read"
    assert "sed" in second


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a version that accepted a warm-up beyond the training."""
    folder = tmp_path_factory.mktemp("old") / "run"
    write_run(folder, 20)
    file = folder / "search.yaml"
    text, changes = re.subn(r"warmup_epochs: .*", "warmup_epochs: 50", file.read_text())
    assert changes == 1
    file.write_text(text)
    return folder


@pytest.mark.parametrize("command", ["nas status", "nas report", "nas audit"])
def test_a_run_that_was_accepted_by_an_earlier_version_is_read(command: str, old: Path) -> None:
    READERS[command](old)
    assert recorded_config(old).recipe.warmup_epochs == 50
    assert not [fault.says for fault in verify_run(old).faults if "search.yaml does not read" in fault.says]


def test_it_is_not_searched_on_with(old: Path) -> None:
    with pytest.raises(ConfigError, match="warmup_epochs: 50, but epochs is only"):
        read_search_config(old / "search.yaml")
