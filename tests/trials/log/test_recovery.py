"""A log with damaged, deleted, foreign, older and newer files: what is mended, refused, and said."""

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeConfig
from formula_searches import identity, run_simulated
from log_files import lose_trial, make_part_later, part_of, parts_in, segment_of, truncate
from old_runs import copy_old_run, earlier_file_of
from tiny_searches import tiny_search

from nas.cli import main
from nas.results.verify import verify_run
from nas.search.search import SearchResult
from search_spaces.settings.config_error import ConfigError
from trials.log.lost_trials import LostTrialsError
from trials.log.parts import Part, part_bytes, part_name
from trials.log.run_reader import read_run
from trials.log.store import RunStore


def learned(result: SearchResult) -> list[Any]:
    """Rows but for their places, which differ where a lost row was written again."""
    return [row[:1] + row[3:] for row in identity(result)]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of parts, and one of segments of 4."""
    folder = tmp_path_factory.mktemp("runs")
    run_simulated(tiny_search(), folder / "parts")
    run_simulated(tiny_search(), folder / "segments", segment_size=4)
    return folder


@pytest.fixture
def parts(originals: Path, tmp_path: Path) -> Path:
    """A copy of the run of parts."""
    return shutil.copytree(originals / "parts", tmp_path / "run")


@pytest.fixture
def segments(originals: Path, tmp_path: Path) -> Path:
    """A copy of the run of segments."""
    return shutil.copytree(originals / "segments", tmp_path / "run")


# ---------------------------------------------------------------------- segments


def test_finished_blocks_become_segments_and_nothing_else_changes(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(budget={"trials": 14})
    whole, cut = (
        run_simulated(config, tmp_path / "parts"),
        run_simulated(config, tmp_path / "segments", segment_size=4),
    )
    assert identity(whole) == identity(cut)
    names = sorted(path.name[:18] for path in (tmp_path / "segments" / "log" / "segments").iterdir())
    assert names == [f"{letter}{first:08d}-{first + 3:08d}" for letter in "as" for first in (0, 4, 8)]
    loose = [(part.kind, part.row.get("trial_id")) for _, part in parts_in(tmp_path / "segments")]
    assert sorted(loose, key=str) == sorted(
        [("driver", None), ("identity", None), *((kind, i) for i in (12, 13) for kind in ("ask", "trial"))],
        key=str,
    )
    for name in ("trials", "epochs"):
        logs = [RunStore(tmp_path / folder) for folder in ("parts", "segments")]
        with logs[0] as one, logs[1] as other:
            assert one.trials.keys() == other.trials.keys(), name
    assert verify_run(tmp_path / "segments").faults == ()


def test_segments_are_read_beside_the_driver(make_config: MakeConfig, segments: Path) -> None:
    (segments / "trials.parquet").unlink()
    log = read_run(segments)
    assert (sorted(log.trials), log.in_flight, log.unreadable) == (list(range(12)), {}, ())


def test_a_run_of_parts_is_cut_into_segments_when_it_is_opened(parts: Path) -> None:
    with RunStore(parts) as store:
        trials = dict(store.trials)
    with RunStore(parts, segment_size=6) as store:
        assert store.trials == trials
    assert len(list((parts / "log" / "segments").iterdir())) == 4
    with RunStore(parts, segment_size=100) as store:
        assert store.trials == trials


@pytest.mark.parametrize("letter", ["a", "s"])
def test_a_damaged_segment_costs_at_most_its_trials_trainings(
    make_config: MakeConfig, segments: Path, letter: str
) -> None:
    before = run_simulated(make_config(), segments, segment_size=4)
    truncate(segment_of(segments, letter, 4))
    with RunStore(segments, segment_size=4) as store:
        again = [row["trial_id"] for row in store.in_flight()]
        assert again == ([4, 5, 6, 7] if letter == "s" else [])
        assert len(store.quarantined) == 1
    after = run_simulated(make_config(), segments, segment_size=4)
    assert learned(after) == learned(before)
    assert verify_run(segments).faults == ()
    assert len(list((segments / "log" / "segments").iterdir())) == 6


def test_a_part_that_contradicts_its_segment_is_moved_aside(segments: Path) -> None:
    with RunStore(segments, segment_size=4) as store:
        other = {**store.asks[5], "seed": 3}
    position = len(parts_in(segments)) + 100
    (segments / "log" / "parts" / part_name(position)).write_bytes(
        part_bytes(Part(position, "ask", 1, "", other))
    )
    (fault,) = verify_run(segments).faults
    assert (fault.invariant, fault.is_mendable) == ("I1", True)
    assert verify_run(segments, repair=True).faults == ()
    assert len(list((segments / "log" / "quarantine").iterdir())) == 1


# ---------------------------------------------------------------------- lost files


@pytest.mark.parametrize("kind", ["ask", "trial"])
def test_one_deleted_file_is_mended_and_its_trial_counts_once(
    make_config: MakeConfig, parts: Path, kind: str
) -> None:
    before = run_simulated(make_config(), parts)
    part_of(parts, kind, 5).unlink()
    after = run_simulated(make_config(), parts)
    assert learned(after) == learned(before)
    assert verify_run(parts).faults == ()


def test_ask_and_row_gone_together_are_refused_until_that_is_accepted(
    make_config: MakeConfig, parts: Path
) -> None:
    lose_trial(parts, 5)
    with pytest.raises(LostTrialsError, match=r"these trials: 5\. .*\n  nas verify .* --repair"):
        run_simulated(make_config(), parts)
    assert [fault.invariant for fault in verify_run(parts).faults] == ["I3"]
    verdict = verify_run(parts, repair=True)
    assert (verdict.faults, [fault.invariant for fault in verdict.mended]) == ((), ["I3"])
    rows = run_simulated(make_config(), parts).rows
    assert sorted(row["trial_id"] for row in rows) == [0, 1, 2, 3, 4, *range(6, 13)]
    assert verify_run(parts).faults == ()


def test_lost_last_trial_is_missed_by_the_view(make_config: MakeConfig, parts: Path) -> None:
    """Its number is the last, but the view has seen it."""
    lose_trial(parts, 11)
    with pytest.raises(LostTrialsError, match="these trials: 11"):
        run_simulated(make_config(), parts)


def test_log_with_lost_trials_is_refused_and_left_as_it_is(make_config: MakeConfig, parts: Path) -> None:
    paths = part_of(parts, "trial", 5), part_of(parts, "ask", 5)
    for path in paths:
        truncate(path)
    before = {path: path.read_bytes() for path in (parts / "log").rglob("*.parquet")}
    with pytest.raises(LostTrialsError):
        run_simulated(make_config(), parts)
    assert {path: path.read_bytes() for path in (parts / "log").rglob("*.parquet")} == before


def test_an_unanswered_last_ask_that_is_damaged_is_made_again(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = copy_old_run(tmp_path / "run")
    truncate(earlier_file_of(folder, "asks", 6))
    earlier_file_of(folder, "epochs", 6).unlink()
    assert identity(run_simulated(make_config(), folder)) == identity(
        run_simulated(make_config(), tmp_path / "whole")
    )


def test_a_damaged_list_of_repairs_of_an_earlier_version_is_moved_aside(tmp_path: Path) -> None:
    folder = copy_old_run(tmp_path / "run")
    (folder / "log" / "repairs.json").write_text("[{")
    assert [fault.invariant for fault in verify_run(folder).faults] == ["files"]
    assert verify_run(folder, repair=True).faults == ()


def test_a_damaged_record_of_a_repair_is_missed_and_declared_again(
    make_config: MakeConfig, parts: Path
) -> None:
    part_of(parts, "trial", 5).unlink()
    run_simulated(make_config(), parts)
    (path,) = (path for path, part in parts_in(parts) if part.kind == "repair")
    truncate(path)
    assert [fault.invariant for fault in verify_run(parts).faults] == ["files", "I3"]
    assert verify_run(parts, repair=True).faults == ()


@pytest.mark.parametrize("name", ["search.yaml.bak", "log/parts/notes.txt", "log/parts/p5.parquet"])
def test_foreign_files_in_a_run_are_left_alone_and_named(
    make_config: MakeConfig, parts: Path, name: str
) -> None:
    (parts / name).write_text("mine")
    run_simulated(make_config(budget={"trials": 13}), parts)
    assert (parts / name).read_text() == "mine"
    verdict = verify_run(parts)
    assert verdict.faults == ()
    assert any(name in note for note in verdict.notes)


def test_symbolic_links_out_of_a_run_are_not_followed(
    make_config: MakeConfig, parts: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.parquet"
    path = part_of(parts, "trial", 5)
    path.rename(outside)
    path.symlink_to(outside)
    data = outside.read_bytes()
    run_simulated(make_config(), parts)
    assert not part_of(parts, "trial", 5).is_symlink()
    assert outside.read_bytes() == data
    (parts / "log" / "segments").rename(tmp_path / "segments")
    (parts / "log" / "segments").symlink_to(tmp_path / "segments")
    with pytest.raises(ConfigError, match="a symbolic link"):
        run_simulated(make_config(), parts)


def test_row_of_another_trial_in_a_file_is_noticed(make_config: MakeConfig, parts: Path) -> None:
    before = run_simulated(make_config(), parts)
    part_of(parts, "trial", 5).write_bytes(part_of(parts, "trial", 6).read_bytes())
    assert [fault.invariant for fault in verify_run(parts).faults] == ["files", "I3"]
    assert learned(run_simulated(make_config(), parts)) == learned(before)


def flips_that_pass(folder: Path, count: int) -> int:
    """Flips `count` bits of the log one by one; how many are not noticed."""
    rng = random.Random(7)
    files = sorted((folder / "log").rglob("*.parquet"))
    silent = 0
    for _ in range(count):
        path = rng.choice(files)
        good = path.read_bytes()
        bit = rng.randrange(8 * len(good))
        path.write_bytes(good[: bit // 8] + bytes([good[bit // 8] ^ 1 << bit % 8]) + good[bit // 8 + 1 :])
        silent += not any(fault.invariant == "files" for fault in verify_run(folder).faults)
        path.write_bytes(good)
    return silent


def test_no_flipped_bit_of_a_log_passes_unnoticed(make_config: MakeConfig, tmp_path: Path) -> None:
    run_simulated(make_config(budget={"trials": 7}), tmp_path / "run", segment_size=4)
    assert flips_that_pass(tmp_path / "run", 8) == 0


@pytest.mark.nightly
def test_none_of_many_flipped_bits_of_a_log_passes_unnoticed(make_config: MakeConfig, tmp_path: Path) -> None:
    run_simulated(make_config(budget={"trials": 14}), tmp_path / "run", segment_size=4)
    assert flips_that_pass(tmp_path / "run", 200) == 0


# ---------------------------------------------------------------------- versions


def test_a_log_of_a_later_version_is_refused(make_config: MakeConfig, parts: Path) -> None:
    make_part_later(parts, 5)
    for read in (lambda: run_simulated(make_config(), parts), lambda: verify_run(parts)):
        with pytest.raises(ConfigError, match=r"log/parts/p.*later version.*rows of version 2"):
            read()


# ---------------------------------------------------------------------- the order of a fixed lag


def test_a_lost_row_is_learned_late_where_the_lag_is_fixed(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(order={"fixed_lag": 2}, budget={"trials": 9})
    before = run_simulated(config, tmp_path / "run")
    part_of(tmp_path / "run", "trial", 4).unlink()
    assert learned(run_simulated(config, tmp_path / "run")) == learned(before)
    longer = make_config(order={"fixed_lag": 2}, budget={"trials": 14})
    assert len(run_simulated(longer, tmp_path / "run").rows) == 14
    assert verify_run(tmp_path / "run").faults == ()


# ---------------------------------------------------------------------- the command


def test_verify_command_names_faults_repairs_them_and_exits_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_old_run(tmp_path / "run")

    def verify(*options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["nas", "verify", str(folder), *options])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code or 0)), capsys.readouterr().out

    assert verify()[0] == 0
    truncate(earlier_file_of(folder, "trials", 2))
    (folder / "log" / "trials" / "notes.txt").write_text("mine")
    code, said = verify()
    assert code == 1
    assert "log/trials/t00000002.parquet" in said
    assert "note: log/trials/notes.txt: not ours; left alone" in said
    assert f"nas verify {folder} --repair" in said
    code, said = verify("--repair", "--json")
    figures = json.loads(said)
    assert (code, figures["is_whole"], figures["in_flight"]) == (0, True, 2)
    assert {fault["invariant"] for fault in figures["mended"]} == {"files", "I3"}
    with RunStore(folder):
        monkeypatch.setattr(sys, "argv", ["nas", "verify", str(folder)])
        with pytest.raises(SystemExit, match="75"):
            main()
