"""A run's report: what it says, that it needs nothing else, that nothing from files can act in it."""

import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from clocks import calls_of
from conftest import MakeConfig
from formula import formula_worker
from rich.console import Console
from synthetic_run import synthetic_config, write_rows, write_run
from timed_again import write_timed_again

from analysis.ledger import work
from nas.cli import main
from nas.report.axes import Scale, scale_of, tick_texts
from nas.report.cost import busy_by_kind
from nas.report.facts import changed_terms, read_facts
from nas.report.markup import Markup, tag
from nas.report.page import page, report_after_search, write_report
from nas.report.shown_rows import ShownTrial, shown_rows
from nas.results import optuna_importance
from nas.search.audit import audit, plan_audit
from nas.search.search import search
from search_spaces.settings.config_error import ConfigError
from trials.executors.in_process import in_process
from trials.log.schema import TRIAL_SCHEMA

VOID = {"meta", "br", "link", "rect", "circle", "line", "path", "input"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "flowers"
    write_run(folder, 120)
    return folder


class Checker(HTMLParser):
    """Counts elements, and asserts that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    return checker


def test_report_is_one_file_that_loads_nothing(run: Path) -> None:
    path = write_report(run)
    assert path == run / "report.html"
    text = path.read_text()
    checker = checked(text)
    assert checker.count["h2"] == 12
    assert checker.count["svg"] >= 9
    assert checker.count["script"] == 2  # the numbers of the sliders, and the page's own
    assert not {"img", "link", "iframe", "object"} & checker.count.keys()
    assert not [name for name, _ in checker.attributes if name in ("src", "href")]
    assert "url(" not in text
    assert re.search(r">(nan|inf|None|&lt;NA&gt;)<", text) is None


def test_report_names_winner_space_device_and_next_commands(run: Path) -> None:
    facts = read_facts(run)
    text = page(facts)
    winner = facts.standings[0].finalist
    assert facts.winner is not None
    assert facts.winner.trial_id == winner.trial_id
    for words in (
        f"trial {winner.trial_id} has the highest mean reward, {winner.mean:.4f}",
        "2,176,782,336 architectures of 6 stages",
        "evolution (population 20, tournament 5)",
        "Imaginary GPU",
        f"nas audit {run}",
        f"nas search {run}/search.yaml",
        "What differs from the reference is bold",
    ):
        assert words in text, words


def test_markup_in_a_runs_files_is_escaped_in_the_report(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    folder = tmp_path / "a<b>"
    rows = write_run(folder, 40, config=synthetic_config(data={"source": f"x{evil}"}, budget={"trials": 40}))
    for row in rows:
        row |= {"device_name": evil, "host": f'"{evil}', "device_id": evil, "timing_device": evil}
    write_rows(folder / "trials.parquet", rows)
    facts = {"command": ["nas", evil], "host": evil, "packages": {"torch": evil}}
    (folder / "environment" / "0001.json").write_text(json.dumps(facts))
    (folder / "environment" / "0002.json").write_text("{ not json")
    text = page(read_facts(folder))
    assert evil not in text
    assert "&lt;script&gt;alert(1)" in text
    assert checked(text).count["script"] == 2
    assert tag("p", evil, Markup("<b>"), title='"<') == (
        '<p title="&quot;&lt;">&lt;script&gt;alert(1)&lt;/script&gt;<b></p>'
    )


def test_what_an_older_row_lacks_is_none_where_the_report_shows_it(run: Path) -> None:
    trials = read_facts(run).trials
    older = trials[trials["status"] == "completed"].head(1).assign(minival_images=pd.NA, reference_macs=pd.NA)
    (row,) = shown_rows(ShownTrial, older)
    assert (row.minival_images, row.reference_macs) == (None, None)
    assert row.words.startswith(f"trial {row.trial_id}: accuracy {row.accuracy:.4f}")


def test_report_for_other_exponents_has_another_winner_and_file(run: Path) -> None:
    small = write_report(run, terms=changed_terms(["step_time_ratio=0,params=-3"]))
    assert small.name == "report-step_time_ratio0-params-3.html"
    facts = read_facts(run, terms={"step_time_ratio": 0.0, "params": -3.0})
    assert facts.changed == "reward accuracy × parameters^-3"
    assert facts.winner is not None
    own = read_facts(run).winner
    assert own is not None
    assert facts.winner.params < own.params
    assert facts.changed in small.read_text()
    accurate = read_facts(run, terms=changed_terms(["none"])).winner
    assert accurate is not None
    completed = facts.trials[(facts.trials.status == "completed") & (facts.trials.purpose != "repeat")]
    assert accurate.accuracy == completed["accuracy"].max()
    small.unlink()


def test_report_by_step_times_of_another_device_ranks_by_them(run: Path) -> None:
    trials = pq.read_table(run / "trials.parquet").to_pandas()
    best = trials[trials.purpose == "search"].nlargest(20, "reward")
    there = dict(zip(best.trial_id.tolist(), np.linspace(3.0, 0.3, len(best)).tolist(), strict=True))
    write_timed_again(run, there, best.to_dict("records"), device_name="Tiny Board")
    facts = read_facts(run, device="Tiny Board")
    assert facts.changed == "step times on Tiny Board"
    searched = facts.trials[facts.trials.purpose != "repeat"]
    assert set(searched["architecture_id"]) == set(best["architecture_id"])
    assert set(searched["step_time_ratio"]).issubset(there.values())
    assert "step times on Tiny Board" in page(facts)
    with pytest.raises(ConfigError, match="measured are tiny-board"):
        read_facts(run, device="Other")


def test_a_finalists_training_without_room_counts_as_accuracy_0_in_the_report_too(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rows = write_run(folder, 60)
    place = next(i for i, row in enumerate(rows) if row["purpose"] == "repeat")
    nothing = {"reward": 0.0, "accuracy": None, "step_time_ratio": None, "minival_accuracy": None}
    rows[place] = rows[place] | nothing | {"status": "infeasible", "failure_kind": "out_of_memory"}
    write_rows(folder / "trials.parquet", rows)
    facts = read_facts(folder)
    (struck,) = [each for each in facts.standings if 0.0 in each.finalist.rewards]
    of_it = [row["accuracy"] or 0.0 for row in rows if row["purpose"] == "repeat"
             and row["choices"] == rows[place]["choices"]]  # fmt: skip
    assert struck.finalist.mean_accuracy == pytest.approx(np.mean(of_it))
    assert "nan" not in page(facts).split("<script>")[0].lower()


def test_report_shows_an_audit(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "audited"
    rows = write_run(folder, 60)
    longer = [
        {**row, "purpose": "audit", "epochs": 40, "accuracy": row["accuracy"] * 1.05}
        for row in rows
        if row["status"] == "completed" and row["purpose"] == "search"
    ]
    (folder / "audit").mkdir()
    write_rows(folder / "audit" / "trials.parquet", longer[::3])
    text = page(read_facts(folder))
    assert "were trained again for 40 epochs" in text
    assert "Kendall&#x27;s tau of the two rankings" in text


def test_a_damaged_audit_is_named_and_written_again_by_the_next(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder, execute = tmp_path / "run", in_process(device="cpu")
    search(make_config(), folder, execute=execute, start=formula_worker)
    audit(plan_audit(folder, trials=3, epochs=8), execute=execute, start=formula_worker)
    whole = len(read_facts(folder).audits)
    file = folder / "audit" / "trials.parquet"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ConfigError, match=r"run/audit/trials\.parquet: damaged; nas audit with the same"):
        read_facts(folder)
    audit(plan_audit(folder, trials=3, epochs=8), execute=execute, start=formula_worker)
    assert len(read_facts(folder).audits) == whole == 3


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_search_that_has_just_begun_has_a_report(tmp_path: Path, count: int) -> None:
    rows = write_run(tmp_path / "run", 40)
    write_rows(tmp_path / "run" / "trials.parquet", rows[:count])
    checked(page(read_facts(tmp_path / "run")))


def test_a_search_in_which_nothing_completed_has_a_report(tmp_path: Path) -> None:
    rows = [row for row in write_run(tmp_path / "run", 160) if row["status"] == "infeasible"]
    write_rows(tmp_path / "run" / "trials.parquet", rows)
    text = page(read_facts(tmp_path / "run"))
    checked(text)
    assert "No trial has completed yet, so there is no winner." in text


def test_run_of_the_search_loop_has_a_well_formed_report(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(finalists={"count": 2, "repeats": 2})
    search(config, tmp_path / "run", execute=in_process(device="cpu"), start=formula_worker)
    checked(write_report(tmp_path / "run").read_text())


def test_a_reports_size_and_work_grow_no_faster_than_its_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of 1,000 trials has 3 MB at most, but here are fewer."""
    monkeypatch.setattr(optuna_importance, "MOST_TRIALS", 60)  # of a longer run no more are looked at
    calls = []
    for count in (80, 400):
        run = tmp_path / str(count)
        write_run(run, count)
        calls.append(calls_of(lambda run=run: write_report(run)))  # type: ignore[misc]
    assert calls[1] < 2 * calls[0]  # most of it are resamples, of any number of trials
    assert (tmp_path / "400" / "report.html").stat().st_size < 0.4 * 3_000_000


def test_report_command_writes_the_file_it_is_asked_for(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "nas",
        "report",
        str(run),
        "-o",
        str(tmp_path / "mine.html"),
        "--reward",
        "params=-0.5",
        "--json",
    ]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["report"] == str(tmp_path / "mine.html")
    assert "parameters^-0.5" in (tmp_path / "mine.html").read_text()


def test_a_search_ends_well_though_its_report_fails(tmp_path: Path) -> None:
    out = io.StringIO()
    report_after_search(tmp_path / "nowhere", Console(file=out))
    assert "no report was written" in out.getvalue()


# ---------------------------------------------------------------- pictures' parts


def test_axis_ticks_are_within_the_scale_and_have_different_texts() -> None:
    for low, high in ((0.0, 1.0), (0.7123, 0.8456), (-0.3, 0.01), (3.0, 4_000.0), (0.95, 0.951)):
        scale = scale_of(np.array([low, high]), 0, 400)
        ticks = scale.ticks()
        assert 2 <= len(ticks) <= 7
        assert all(scale.low <= tick <= scale.high for tick in ticks)
        assert len(set(tick_texts(ticks))) == len(ticks)
    assert Scale(0.1, 1000, 0, 400, logarithmic=True).ticks()[0] in (0.1, 1.0)
    assert scale_of(np.array([np.nan]), 0, 1).ticks()
    assert scale_of(np.array([2.0, 2.0]), 0, 1).low < 2


def test_busy_workers_by_kind_add_up_to_the_time_spent() -> None:
    times = pd.to_datetime(["2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z"])
    rows = pd.DataFrame({name: [None, None] for name in TRIAL_SCHEMA.names})
    rows["trial_id"], rows["status"], rows["purpose"] = [0, 1], "completed", "search"
    rows["started_at"], rows["finished_at"] = times, times + pd.Timedelta(seconds=10)
    rows["train_seconds"], rows["timing_seconds"] = [6.0, 10.0], [1.0, 0.0]
    found = work(rows)
    edges = np.linspace(0, 15, 31)
    busy = busy_by_kind(found, edges)
    assert sum(busy["train"]) * 0.5 == pytest.approx(16)
    assert sum(busy["other"]) * 0.5 == pytest.approx(3)
    assert sum(sum(kind) for kind in busy.values()) * 0.5 == pytest.approx(20)
    assert busy["train"][-1] == pytest.approx(1)
