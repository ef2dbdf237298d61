"""Several runs on one page: what compares, by which reward, what is sure, and that nothing can act in it."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from browser import needs_browser, seen_in
from conftest import Nas
from schema_files import validate
from synthetic_run import synthetic_config, write_rows, write_run

from analysis.frame import read_trials
from analysis.ranking import rewards
from nas.report.facts import read_facts
from nas.report.side_by_side.compared import AT_TRIALS, differences, side_by_side_figures
from nas.report.side_by_side.figures import SideBySideFigures
from nas.report.side_by_side.page import file_name, page, write_side_by_side
from nas.report.side_by_side.settings import different
from nas.report.side_by_side.sides import Sides, read_sides
from search_spaces.settings.config_error import ConfigError

EVIL = "<script>alert(1)</script>"
RANDOM = {"strategy": {"name": "random_search"}}


def make(folder: Path, count: int = 60, *, seed: int = 0, **changes: Any) -> list[dict[str, Any]]:
    config = synthetic_config(seed=seed, budget={"trials": count}, **changes)
    return write_run(folder, count, config=config, seed=seed)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    make(folder / "first", 60)
    make(folder / "again", 70, seed=1)
    make(folder / "random", 50, seed=2, **RANDOM)
    make(folder / "random-again", 55, seed=3, **RANDOM)
    make(folder / "accurate", 60, seed=4, reward={"step_time_ratio": 0.0, "params": 0.0})
    make(folder / "flowers", 40, seed=5, data={"source": EVIL})
    return folder


def read(folder: Path, *names: str, **options: Any) -> Sides:
    return read_sides([folder / name for name in names], names=names, **options)


def figures_of(folder: Path, *names: str) -> SideBySideFigures:
    return side_by_side_figures(read(folder, *names), Path("page.html"))


def test_runs_of_equal_settings_share_a_letter_and_the_first_run_is_a(runs: Path) -> None:
    found = read(runs, "first", "random", "again", "random-again")
    assert [side.label for side in found.sides] == ["A1", "B1", "A2", "B2"]
    assert [side.apart for side in found.sides] == [()] * 4


def test_budgets_are_equal_in_trials_and_in_device_time(runs: Path) -> None:
    found = read(runs, "first", "random")
    assert found.at_trials == 50
    assert found.at_seconds == min(side.device_seconds for side in found.sides)
    first, other = side_by_side_figures(found, Path("page.html")).runs
    curve = found.sides[0].curve
    assert first.best_at_trials == curve["best"].iloc[49]
    assert other.best_at_trials == other.best
    spent = curve[curve["device_seconds"] <= found.at_seconds]
    assert first.best_at_seconds == spent["best"].iloc[-1]


def test_a_run_of_another_reward_is_compared_by_the_first_one_s(runs: Path) -> None:
    found = read(runs, "first", "accurate")
    own, other = found.sides
    assert other.apart == ()
    assert other.own_reward == "accuracy"
    again = rewards(read_facts(runs / "accurate").trials, {"step_time_ratio": -0.07, "params": -0.05})
    assert np.allclose(other.facts.trials["reward"], again, equal_nan=True)
    assert own.facts.changed is None
    figures = side_by_side_figures(found, Path("page.html"))
    assert [run.rescored for run in figures.runs] == [False, True]
    assert any("B searched by another reward, accuracy;" in words for words in figures.cautions)


def test_runs_of_other_images_are_named_and_in_no_comparison(runs: Path) -> None:
    found = read(runs, "first", "flowers")
    (reason,) = found.sides[1].apart
    assert reason.startswith("its images are others")
    assert found.at_trials is None
    assert differences(found) == ()
    text = page(found, side_by_side_figures(found, Path("page.html")))
    assert "B does not compare" in text
    assert "Nothing compares with A" in text


def test_recorded_digests_say_whether_images_are_the_same(tmp_path: Path) -> None:
    for seed, (name, source, digest) in enumerate(
        (("a", "here", "1"), ("b", "there", "1"), ("c", "here", "2"))
    ):
        make(tmp_path / name, 20, seed=seed, data={"source": source}, baseline=10)
        facts = {"digest": digest, "split_digest": name}
        (tmp_path / name / "data.json").write_text(json.dumps(facts))
    found = read(tmp_path, "a", "b", "c")
    assert [bool(side.apart) for side in found.sides] == [False, False, True]
    assert [side.group for side in found.sides] == ["A", "A", "B"]
    assert any("minival" in words for words in side_by_side_figures(found, Path("p")).cautions)


def test_another_reference_network_compares_by_accuracy_alone(tmp_path: Path) -> None:
    make(tmp_path / "a", 20)
    text = (tmp_path / "a" / "search.yaml").read_text()
    make(tmp_path / "b", 20)
    assert "head_channels" in text
    reference = text.index("reference:")
    other = text[:reference] + text[reference:].replace("layers: ", "layers: 1", 1)
    (tmp_path / "b" / "search.yaml").write_text(other)
    assert "its reference network is another one" in read(tmp_path, "a", "b").sides[1].apart[0]
    terms = {"step_time_ratio": 0.0, "params": 0.0}
    assert read(tmp_path, "a", "b", terms=terms).sides[1].apart == ()


def test_another_objective_is_computed_from_rows_that_have_it_and_refused_of_others(tmp_path: Path) -> None:
    make(tmp_path / "plain", 20)
    rows = make(tmp_path / "balanced", 20, objective="balanced_accuracy")
    for row in rows:
        row |= {"objective": "balanced_accuracy", "balanced_accuracy": row.get("accuracy")}
    write_rows(tmp_path / "balanced" / "trials.parquet", rows)
    assert read(tmp_path, "plain", "balanced").sides[1].apart == ()
    (reason,) = read(tmp_path, "balanced", "plain").sides[1].apart
    assert reason == "its objective is accuracy, and its trials have no balanced accuracy"


def test_a_reward_term_that_is_not_known_here_sets_a_run_apart(runs: Path, tmp_path: Path) -> None:
    make(tmp_path / "own", 20)
    file = tmp_path / "own" / "search.yaml"
    file.write_text(file.read_text().replace("params: -0.05", "my_energy: -0.05"))
    found = read_sides([tmp_path / "own", runs / "first"], names=["own", "first"])
    assert "my_energy is not measured" in found.sides[1].apart[0]
    assert found.sides[0].apart == ()


def test_a_difference_is_sure_only_where_runs_vary_less_than_it(tmp_path: Path) -> None:
    for seed in range(6):
        rows = make(tmp_path / f"run{seed}", 25, seed=seed, finalists=None, **(RANDOM if seed % 2 else {}))
        for row in rows:  # the best of each run is known: evolution 0.8, random search 0.7, and noise
            row["reward"] = 0.1 if row["trial_id"] else 0.8 - 0.1 * (seed % 2) + 0.001 * seed
            row["status"], row["accuracy"] = "completed", 0.5
        write_rows(tmp_path / f"run{seed}" / "trials.parquet", rows)
    found = read(tmp_path, *(f"run{seed}" for seed in range(6)))
    by_trials, by_time = differences(found)
    assert by_trials.measure == f"{AT_TRIALS} (25)"
    assert by_trials.difference.value == pytest.approx(-0.099)
    assert by_trials.counts == (3, 3)
    assert by_trials.is_sure
    assert by_time.p_value == pytest.approx(by_trials.p_value)
    two = differences(read(tmp_path, "run0", "run1"))
    assert [(line.p_value, line.is_sure) for line in two] == [(None, False)] * 2
    assert "one run alone does not tell" in two[0].note


def test_winners_of_single_runs_are_compared_as_networks_by_their_finalist_trainings(runs: Path) -> None:
    found = read(runs, "first", "random")
    *_, winners = differences(found)
    first, other = (side.facts.standings[0].finalist for side in found.sides)
    assert winners.difference.value == pytest.approx(other.mean - first.mean)
    assert winners.counts == (3, 3)
    assert winners.difference.low is not None
    assert winners.note.startswith("of these two networks")
    assert "best of" in winners.note


def test_runs_on_other_devices_are_settings_of_their_own_and_the_devices_are_named(tmp_path: Path) -> None:
    make(tmp_path / "a", 20)
    rows = make(tmp_path / "b", 20)
    for row in rows:
        row |= {"device_name": "Other GPU", "timing_device": "Other GPU"}
    write_rows(tmp_path / "b" / "trials.parquet", rows)
    found = read(tmp_path, "a", "b")
    assert [(side.label, side.apart) for side in found.sides] == [("A", ()), ("B", ())]
    timed, ran = side_by_side_figures(found, Path("page.html")).cautions
    assert "measured on different devices: Imaginary GPU (A); Other GPU (B)" in timed
    assert "ran on different devices: Imaginary GPU (A); Other GPU (B)" in ran
    text = page(found, side_by_side_figures(found, Path("page.html")))
    assert "The search files are alike." in text
    assert ">step time measured on</td>" in text


def test_trainings_longer_than_trials_are_said_and_of_other_lengths_not_compared(tmp_path: Path) -> None:
    for seed, (name, epochs) in enumerate((("a", 12), ("b", 12), ("c", 15))):
        rows = make(tmp_path / name, 30, seed=seed, finalists={"count": 2, "repeats": 2, "epochs": epochs})
        for row in rows:
            row |= {"purpose": "finalist", "epochs": epochs} if row["purpose"] == "repeat" else {}
        write_rows(tmp_path / name / "trials.parquet", rows)
    found = read(tmp_path, "a", "b", "c")
    assert [side.label for side in found.sides] == ["A1", "A2", "B"]
    figures = side_by_side_figures(found, Path("page.html"))
    assert all(run.winner is not None and run.winner.is_longer for run in figures.runs)
    assert ", 12 epochs" in page(found, figures)
    assert not [line for line in figures.differences if "finalist" in line.measure]
    assert any("Finalists were trained for different numbers" in words for words in figures.cautions)


def test_only_settings_that_differ_are_listed() -> None:
    one = {"seed": 0, "space": {"stages": [{"layers": 1}, {"layers": 2}]}, "budget": {"trials": 5}}
    other = {"seed": 0, "space": {"stages": [{"layers": 1}, {"layers": 3}]}, "budget": {"epochs": 7}}
    assert different([one, other]) == {
        "budget.epochs": ("–", "7"),
        "budget.trials": ("5", "–"),
        "space.stages[1].layers": ("2", "3"),
    }


def test_names_from_files_are_escaped_and_the_page_loads_nothing(runs: Path, tmp_path: Path) -> None:
    make(tmp_path / "a<b>", 30)
    found = read_sides([runs / "first", runs / "flowers", tmp_path / "a<b>"], names=["first", EVIL, "a<b>"])
    text = page(found, side_by_side_figures(found, Path("p.html")))
    assert EVIL not in text
    assert "a<b>" not in text
    assert "&lt;script&gt;" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    name = file_name([runs / "first", runs / "flowers", tmp_path / "a<b>"])
    assert re.fullmatch(r"report-beside-flowers-a-b-[0-9a-f]{8}\.html", name)
    assert ">nan<" not in text


def test_the_page_is_small_also_for_many_runs_of_many_trials(tmp_path: Path) -> None:
    make(tmp_path / "a", 400)
    make(tmp_path / "b", 400, seed=1, **RANDOM)
    assert len(page(*_page_of(tmp_path, "a", "b"))) < 200_000


def _page_of(folder: Path, *names: str) -> tuple[Sides, SideBySideFigures]:
    found = read(folder, *names)
    return found, side_by_side_figures(found, Path("page.html"))


def test_the_command_writes_into_the_first_run_and_prints_what_its_schema_allows(
    tmp_path: Path, nas: Nas
) -> None:
    make(Path("a"), 30)
    make(Path("b"), 30, seed=1, **RANDOM)
    code, out, _ = nas("report", "a", "b", "--json")
    assert code == 0
    figures = validate("report", out)
    assert re.fullmatch(r"a/report-beside-b-[0-9a-f]{8}\.html", figures["report"])
    assert Path(figures["report"]).read_text().startswith("<!DOCTYPE html>")
    assert not Path("a/report.html").exists()
    code, out, _ = nas("report", "a", "b", "-o", "page.html")
    assert (code, out.splitlines()[-1]) == (0, "page.html")


@pytest.mark.parametrize(
    ("names", "words"),
    [(["first", "random", "first"], "given twice"), ([f"run{i}" for i in range(25)], "up to 24")],
)
def test_a_run_given_twice_and_too_many_runs_are_refused(runs: Path, names: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(runs, *names)


def test_figures_are_plain_and_finite_or_none(runs: Path) -> None:
    figures = figures_of(runs, "first", "random", "flowers")
    assert "nan" not in json.dumps(asdict(figures)).lower().replace("finan", "")


def test_a_first_run_whose_own_reward_cannot_be_computed_is_refused_plainly(
    runs: Path, tmp_path: Path
) -> None:
    make(tmp_path / "own", 20)
    file = tmp_path / "own" / "search.yaml"
    file.write_text(file.read_text().replace("params: -0.05", "my_energy: -0.05"))
    with pytest.raises(ConfigError, match=r"own: the reward .* my_energy .*--reward none"):
        read_sides([tmp_path / "own", runs / "first"], names=["own", "first"], terms={"params": 0.1})


def test_another_objective_is_among_the_settings_and_an_apart_winner_is_not_marked(
    runs: Path, tmp_path: Path
) -> None:
    make(tmp_path / "plain", 20)
    rows = make(tmp_path / "balanced", 20, seed=1, objective="balanced_accuracy")
    for row in rows:
        row |= {"objective": "balanced_accuracy", "balanced_accuracy": row.get("accuracy")}
    write_rows(tmp_path / "balanced" / "trials.parquet", rows)
    found, figures = _page_of(tmp_path, "plain", "balanced")
    assert "objective" in figures.settings
    assert "The search files are alike" not in page(found, figures)
    found, figures = _page_of(runs, "flowers", "first")
    assert "nothing is marked in B, which does not compare" in page(found, figures)


def test_a_run_without_a_counted_trial_spoils_no_budget_and_is_named(runs: Path, tmp_path: Path) -> None:
    rows = make(tmp_path / "crashed", 20, finalists=None, **RANDOM)
    for row in rows:
        row |= {"status": "crashed", "reward": None}
    write_rows(tmp_path / "crashed" / "trials.parquet", rows)
    places = [runs / "first", runs / "again", tmp_path / "crashed"]
    found = read_sides(places, names=["first", "again", "crashed"])
    assert found.at_trials == 60
    figures = side_by_side_figures(found, Path("page.html"))
    assert any(words.startswith("No trial that counts has ended in B") for words in figures.cautions)
    assert "seeds alone" not in page(found, figures)


def test_a_copy_of_a_run_is_set_apart_and_winners_of_unequal_numbers_are_not_tested(tmp_path: Path) -> None:
    make(tmp_path / "a", 30, finalists={"count": 3, "repeats": 3})
    make(tmp_path / "copy", 30, finalists={"count": 3, "repeats": 3})
    make(tmp_path / "one", 30, seed=1, finalists={"count": 1, "repeats": 3}, **RANDOM)
    found = read(tmp_path, "a", "copy", "one")
    assert found.sides[1].apart[0].startswith("it is a copy of A1")
    assert [len(side.facts.standings) for side in found.compared] == [3, 1]
    *_, winners = differences(found)
    assert (winners.p_value, winners.is_sure) == (None, False)
    assert winners.note.startswith("not tested: ")
    assert "higher by luck" in winners.note
    for side in found.sides:
        assert side.facts.headline is not None
        assert side.facts.headline.trial_id == side.facts.standings[0].finalist.trial_id


def test_by_another_device_winners_alone_compare_and_a_run_not_measured_there_is_apart(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(run: Path, device: str) -> list[SimpleNamespace]:
        if run.name == "random":
            raise ConfigError(f"{run}: nothing was measured there")
        ids = read_trials(run)["architecture_id"].dropna().unique()
        return [SimpleNamespace(architecture_id=name, step_time_ratio=1.0) for name in ids]

    monkeypatch.setattr("nas.measuring.retarget.retargeted", measured)
    found = read(runs, "first", "again", "random", device="Other GPU")
    assert [bool(side.apart) for side in found.sides] == [False, False, True]
    assert "no step times on Other GPU (nothing was measured there)" in found.sides[2].apart[0]
    assert (found.at_trials, found.at_seconds) == (None, None)
    figures = side_by_side_figures(found, Path("page.html"))
    assert not [line for line in figures.differences if line.measure.startswith(AT_TRIALS)]
    assert any("nothing is said at equal trials" in words for words in figures.cautions)
    assert "Not drawn: only trials" in page(found, figures)


def test_each_comparison_has_a_file_of_its_own(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("first", "x/same", "y/same")]
    names = {
        file_name(runs[:2]), file_name([runs[0], runs[2]]), file_name(runs[:2], {"params": 0.0}),
        file_name(runs[:2], None, "Some GPU"),
    }  # fmt: skip
    assert len(names) == 4


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_words_of_the_page_do_not_cover_each_other_and_it_is_no_wider_than_the_window(
    runs: Path, tmp_path: Path, width: int
) -> None:
    figures = write_side_by_side(
        [runs / name for name in ("first", "again", "random", "random-again", "accurate", "flowers")],
        names=["first", "again", "random", "random-again", "accurate", "flowers"],
        output=tmp_path / "page.html",
    )
    script = """
    found = {covered: [], wider: document.documentElement.scrollWidth - innerWidth};
    document.querySelectorAll("figure svg").forEach(function (svg) {
      var words = Array.from(svg.querySelectorAll("text"));
      words.forEach(function (word, i) {
        var a = word.getBoundingClientRect();
        words.slice(i + 1).forEach(function (other) {
          var b = other.getBoundingClientRect();
          var across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
          var down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
          if (across > 1 && down > 4) found.covered.push(word.textContent + " / " + other.textContent);
        });
      });
    });
    var mark = document.querySelector("figure circle[tabindex]");
    mark.focus();
    found.tip = mark.closest("figure").querySelector(".tip").textContent;"""
    seen = seen_in(Path(figures.report).read_text(), script, tmp_path, width=width)
    assert seen["covered"] == []
    assert seen["wider"] <= 0
    assert seen["tip"].startswith("A1: first, evolution")
