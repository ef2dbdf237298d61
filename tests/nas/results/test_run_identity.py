"""The identity of a run stands in its log: readers and starts notice files that have changed."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import MakeConfig
from formula_searches import run_search, run_until
from log_files import parts_in, truncate
from old_runs import copy_old_run, run_counted

from nas.events import SearchEvent
from nas.report.page import write_report
from nas.results.status import run_status
from nas.results.verify import verify_run
from nas.search.config import Budget, read_search_config
from nas.search.recorded_config import recorded_config
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.log.run_reader import recorded_trials
from trials.trial import Notice

READERS: dict[str, Callable[[Path], object]] = {
    "status": run_status,
    "configuration": recorded_config,
    "rows": recorded_trials,
    "report": write_report,
}


@pytest.fixture
def run(make_config: MakeConfig, tmp_path: Path) -> Path:
    """A stopped run of segments and parts, with a report."""
    run_until(make_config(), tmp_path / "run", rows=6)
    write_report(tmp_path / "run")
    return tmp_path / "run"


def change(run: Path, old: str, new: str) -> None:
    text = (run / "search.yaml").read_text()
    assert old in text
    (run / "search.yaml").write_text(text.replace(old, new))


@pytest.mark.parametrize("reader", READERS)
def test_readers_refuse_a_run_whose_search_file_was_changed(reader: str, run: Path) -> None:
    change(run, "seed: 0", "seed: 1")
    with pytest.raises(ConfigError, match=r"search\.yaml: not as the log has recorded it: nas verify"):
        READERS[reader](run)
    (fault,) = verify_run(run).faults
    assert (fault.invariant, fault.is_mendable) == ("identity", True)
    assert verify_run(run, repair=True).is_whole
    READERS[reader](run)


def test_a_search_goes_on_by_the_recorded_search_file_and_not_by_the_changed_one(
    make_config: MakeConfig, run: Path
) -> None:
    change(run, "baseline: 3", "baseline: 2")
    with pytest.raises(ConfigError, match="baseline: the run has 3, now 2"):
        run_search(read_search_config(run / "search.yaml"), run)
    said: list[SearchEvent] = []
    run_search(make_config(), run, on_event=said.append)
    assert any(isinstance(event, Notice) and "not as the log has recorded" in event.text for event in said)
    assert verify_run(run).is_whole


def test_a_search_file_that_is_gone_is_written_again(make_config: MakeConfig, run: Path) -> None:
    text = (run / "search.yaml").read_text()
    (run / "search.yaml").unlink()
    with pytest.raises(ConfigError, match=r"its search\.yaml is gone: nas verify .* --repair"):
        run_status(run)
    with pytest.raises(ConfigError, match="seed: the run has 0, now 5"):
        run_search(make_config(seed=5), run)
    assert verify_run(run, repair=True).is_whole
    assert (run / "search.yaml").read_text() == text


def test_each_change_of_what_may_change_is_recorded_and_said(make_config: MakeConfig, run: Path) -> None:
    for trials in (13, 15):
        said: list[SearchEvent] = []
        run_search(make_config(budget={"trials": trials}), run, on_event=said.append)
        assert any(isinstance(event, Notice) and "budget.trials" in event.text for event in said)
    recorded = [part.identity_record["search"] for _, part in parts_in(run) if part.kind == "identity"]
    assert [f"trials: {n}" in text for n, text in zip((12, 13, 15), recorded, strict=True)] == [True] * 3
    assert recorded_config(run).budget == Budget(trials=15)
    assert verify_run(run).is_whole


def test_a_driver_killed_before_the_new_search_file_leaves_an_earlier_one_which_is_no_fault(
    make_config: MakeConfig, run: Path
) -> None:
    before = (run / "search.yaml").read_bytes()
    run_search(make_config(budget={"trials": 13}), run)
    (run / "search.yaml").write_bytes(before)
    assert recorded_config(run).budget == Budget(trials=13)
    assert verify_run(run).is_whole


def test_a_run_of_an_earlier_version_says_that_it_recorded_nothing_and_records_it_then(
    tmp_path: Path,
) -> None:
    folder = copy_old_run(tmp_path / "run", "run_v2")
    verdict = verify_run(folder)
    assert verdict.is_whole
    assert any("an earlier version" in note for note in verdict.notes)
    config = read_search_config(folder / "search.yaml")
    said: list[SearchEvent] = []
    run_counted(config, folder, on_event=said.append)
    assert any(isinstance(event, Notice) and "an earlier version" in event.text for event in said)
    change(folder, "seed: 0", "seed: 1")
    with pytest.raises(ConfigError, match="not as the log has recorded it"):
        recorded_config(folder)


def test_a_lost_record_of_what_the_run_is_is_missed(run: Path) -> None:
    """The parts that were written under it carry its digest."""
    (path,) = (path for path, part in parts_in(run) if part.kind == "identity")
    truncate(path)
    assert "identity" in {fault.invariant for fault in verify_run(run).faults}


def test_an_edited_best_file_is_refused_until_its_seal_is_removed(run: Path) -> None:
    best = run / "best.yaml"
    text = best.read_text()
    best.write_text(text.replace("expansion_ratio: 4", "expansion_ratio: 6", 1))
    assert best.read_text() != text
    with pytest.raises(ConfigError, match=r"best\.yaml: is not as it was written.*remove its last line"):
        read_yaml(Architecture, best)
    best.write_text("".join(best.read_text().splitlines(keepends=True)[:-1]))
    assert isinstance(read_yaml(Architecture, best), Architecture)


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def unnoticed(run: Path, count: int) -> list[tuple[str, int]]:
    """Flips `count` bits one by one, over all files of a run; those that nas verify does not notice."""
    rng = random.Random(3)
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name != "lock"]
    silent = []
    for i in range(count):
        path = files[i % len(files)]
        good = path.read_bytes()
        if not good:
            continue
        bit = rng.randrange(8 * len(good))
        path.write_bytes(flipped(good, bit))
        if verify_run(run).is_whole:
            silent.append((str(path.relative_to(run)), bit))
        path.write_bytes(good)
    return silent


def test_no_flipped_bit_of_a_run_passes_unnoticed(run: Path) -> None:
    assert unnoticed(run, 40) == []


@pytest.mark.nightly
def test_none_of_many_flipped_bits_of_a_run_passes_unnoticed(run: Path) -> None:
    assert unnoticed(run, 300) == []
