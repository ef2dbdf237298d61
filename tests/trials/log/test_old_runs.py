"""Run directories that earlier versions wrote: they read, are whole, export and continue."""

from dataclasses import replace
from pathlib import Path

import pytest
from formula_searches import identity, run_simulated
from old_runs import ENDED_AND_IN_FLIGHT, copy_old_run, run_counted

from nas.interchange.export_formats import read_source
from nas.results.status import run_status
from nas.results.verify import verify_run
from nas.search.config import Budget, SearchConfig, read_search_config
from nas.search.search import SearchResult
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.log.run_reader import read_run

every_version = pytest.mark.parametrize("version", ENDED_AND_IN_FLIGHT)


def continued(version: str, config: SearchConfig, folder: Path) -> SearchResult:
    """Goes on with the kind of worker that the run was written with."""
    if version == "run_v1":
        return run_simulated(config, folder, segment_size=4)
    return run_counted(config, folder)


@every_version
def test_a_run_of_an_earlier_version_reads_and_continues(version: str, tmp_path: Path) -> None:
    folder, new = copy_old_run(tmp_path / "run", version), tmp_path / "new"
    ended, in_flight = ENDED_AND_IN_FLIGHT[version]
    verdict = verify_run(folder)
    assert (verdict.faults, verdict.trials, verdict.in_flight) == ((), ended, in_flight)
    assert sorted(read_run(folder).trials) == list(range(ended))
    config = read_search_config(folder / "search.yaml")
    assert identity(continued(version, config, folder)) == identity(continued(version, config, new))
    assert verify_run(folder).faults == ()


@every_version
def test_a_run_of_an_earlier_version_goes_on_to_a_larger_budget(version: str, tmp_path: Path) -> None:
    folder, new = copy_old_run(tmp_path / "run", version), tmp_path / "new"
    config = read_search_config(folder / "search.yaml")
    assert config.budget.trials is not None
    longer = replace(config, budget=Budget(trials=config.budget.trials + 5))
    continued(version, config, new)
    result = continued(version, longer, folder)
    assert identity(result) == identity(continued(version, longer, new))
    counted = [row for row in result.rows if row["purpose"] != "repeat" and row["status"] == "completed"]
    assert len(counted) == longer.budget.trials
    assert verify_run(folder).faults == ()


@every_version
def test_the_winner_of_a_run_of_an_earlier_version_is_exported(version: str, tmp_path: Path) -> None:
    folder = copy_old_run(tmp_path / "run", version)
    said = read_yaml(Architecture, folder / "best.yaml")
    assert said.provenance is not None
    assert read_source(str(folder), trial=None).architecture == said
    best = run_status(folder).best
    assert best is not None
    assert best.trial_id == said.provenance["trial_id"]
