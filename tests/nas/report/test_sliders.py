"""The report's own trade-off: numbers in the page, and what a browser chooses by them."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser import browse, needs_browser, seen_in
from synthetic_run import write_run
from timed_again import write_timed_again

from analysis.ranking import ranked, reranked, searched
from nas.report.facts import read_facts
from nas.report.networks import cells_of
from nas.report.page import page
from nas.report.sliders import sliders_section
from search_spaces.networks.architecture import Stage
from trials.log.rows import architecture_from_json
from trials.reward import Reward

ELSEWHERE = "</script><b>other & device"  # a name that would end the element

# Moves sliders: words of JavaScript for one of a kind.
MOVE = """
function move(kind, name, value) {
  var input = document.querySelector('input[data-kind=' + kind + '][data-name=' + name + ']');
  input.value = value;
  input.dispatchEvent(new Event('input'));
}
function who() { return document.querySelector('.live .who').textContent; }
"""


class Embedded(HTMLParser):
    """The text of the page's elements of JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._here = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._here = tag == "script" and ("type", "application/json") in attrs

    def handle_data(self, data: str) -> None:
        if self._here:
            self.texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._here = False


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "it's <flowers>"
    rows = write_run(folder, 120)
    # Elsewhere the slow networks are the fast ones; half of them were measured.
    ratios = {
        row["trial_id"]: 1 / row["step_time_ratio"] for row in rows[::2] if row["status"] == "completed"
    }
    write_timed_again(folder, ratios, rows, device_name=ELSEWHERE)
    return folder


@pytest.fixture(scope="module")
def text(run: Path) -> str:
    return page(read_facts(run))


def numbers_in(text: str) -> dict[str, Any]:
    parser = Embedded()
    parser.feed(text)
    (found,) = parser.texts
    return json.loads(found)


@pytest.fixture(scope="module")
def numbers(text: str) -> dict[str, Any]:
    return numbers_in(text)


@pytest.fixture(scope="module")
def trials(run: Path) -> pd.DataFrame:
    return searched(read_facts(run).trials)


def best(trials: pd.DataFrame, terms: dict[str, float]) -> int:
    return int(ranked(reranked(trials, terms), 1)["trial_id"].iloc[0])


def trial_in(words: str) -> int:
    match = re.search(r"trial (\d+)", words)
    assert match is not None, words
    return int(match[1])


def test_the_page_holds_the_figures_and_stages_of_every_trial_that_may_win(
    numbers: dict[str, Any], trials: pd.DataFrame
) -> None:
    assert numbers["trial"] == trials["trial_id"].tolist()
    assert numbers["params"] == trials["params"].tolist()
    assert numbers["objective"] == pytest.approx(trials["accuracy"].tolist(), rel=1e-4)
    assert numbers["step_time_ratio"] == pytest.approx(trials["step_time_ratio"].tolist(), rel=1e-4)
    for text, stages in zip(trials["architecture"], numbers["architecture"], strict=True):
        built = [(stage.channels, stage.layers) for stage in architecture_from_json(text).stages]
        assert [(numbers["stages"][i][4], numbers["stages"][i][6]) for i in stages] == built


def test_the_searchs_own_exponents_are_where_the_sliders_begin(numbers: dict[str, Any]) -> None:
    begin = {term["name"]: term["exponent"] for term in numbers["terms"]}
    assert begin == {"step_time_ratio": -0.07, "params": -0.05, "macs": 0.0}


def test_names_from_files_stay_text_and_are_quoted_for_a_shell(
    numbers: dict[str, Any], text: str, run: Path
) -> None:
    assert numbers["devices"][0]["name"] == ELSEWHERE
    assert "<b>other" not in text
    assert numbers["run"].endswith("""it'"'"'s <flowers>'""")


def test_a_reward_of_another_form_has_no_sliders(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = read_facts(run)
    monkeypatch.setattr(Reward, "of", lambda self, accuracy, ratio: accuracy)
    assert "<input" not in sliders_section(facts)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_trials_to_choose_from_are_said(tmp_path: Path, count: int) -> None:
    write_run(tmp_path / "run", 40)
    facts = read_facts(tmp_path / "run")
    few = replace(facts, trials=facts.trials[:count])
    assert sliders_section(few).startswith("<p>Too few")


def test_a_term_that_this_process_does_not_know_leaves_the_page_without_sliders(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 40)
    facts = replace(read_facts(tmp_path / "run"), terms={"step_time_ratio": -0.07, "my_energy": -0.2})
    assert sliders_section(facts).startswith("<p>No sliders: reward: my_energy is not measured")


def test_a_trial_without_a_term_of_the_reward_cannot_win_and_one_without_an_offered_one_can(
    run: Path, trials: pd.DataFrame
) -> None:
    facts = read_facts(run)
    lacking = facts.trials.copy()
    lacking["inference_time_ratio"] = 1.0
    lacking.loc[lacking["trial_id"] == trials["trial_id"].iloc[0], "inference_time_ratio"] = float("nan")
    asked = replace(facts, trials=lacking, terms={"step_time_ratio": -0.07, "inference_time_ratio": -0.3})
    found = numbers_in(str(sliders_section(asked)))
    assert found["trial"] == trials["trial_id"].tolist()[1:]
    assert "inference_time_ratio" in [term["name"] for term in found["terms"]]
    lacking.loc[lacking["trial_id"] == trials["trial_id"].iloc[1], "reference_macs"] = None
    offered = numbers_in(str(sliders_section(replace(facts, trials=lacking))))
    assert offered["trial"] == trials["trial_id"].tolist()
    assert "macs" not in [term["name"] for term in offered["terms"]]


def test_stages_that_differ_look_different() -> None:
    stages = [
        Stage(op="uib", kernel_size=5, expansion_ratio=4, channels=16, layers=1),
        Stage(op="uib", kernel_size=5, start_kernel_size=3, expansion_ratio=4, channels=16, layers=1),
        Stage(op="uib", kernel_size=0, start_kernel_size=3, expansion_ratio=4, channels=16, layers=1),
        Stage(op="mbconv", kernel_size=5, expansion_ratio=4, channels=16, layers=1),
        Stage(op="mbconv", kernel_size=5, expansion_ratio=4, channels=16, layers=1, activation="relu"),
        Stage(op="convnext", kernel_size=5, expansion_ratio=4, channels=16, layers=1),
    ]
    shown = [cells_of(stage) for stage in stages]
    assert len(set(shown)) == len(stages)
    assert [cells[1] for cells in shown[:3]] == ["5×5", "3+5", "3+0"]
    assert shown[-1][0] == "ConvNeXt"


@needs_browser
def test_what_is_set_stays_by_its_value_when_the_numbers_are_others(
    text: str, numbers: dict[str, Any], tmp_path: Path
) -> None:
    """As a live page is written again: another device comes first, and a trial that is larger than all."""
    later = json.loads(json.dumps(numbers))
    later["devices"].insert(0, {**later["devices"][0], "name": "a new one"})
    for name in ("trial", "objective", "step_time_ratio", "params", "architecture", "outside"):
        later[name].append(later[name][0])
    for curves in later["curves"]:
        curves["values"].append(curves["values"][0])
    later["trial"][-1], later["params"][-1] = 9999, 10 * max(numbers["params"])
    for ratios in later["ratios"]:
        ratios.append(ratios[0])
    as_text = json.dumps(json.dumps(later)).replace("<", "\\u003c")
    script = MOVE + (
        "move('limit', 'params', 100); move('exponent', 'macs', -0.2);"
        "var select = document.querySelector('.device'); select.value = '0';"
        "select.dispatchEvent(new Event('change'));"
        "function seen() { return [document.querySelector('.count').textContent.split(' ')[0], who(),"
        " Array.from(document.querySelectorAll('output')).map(function (o) { return o.textContent; })]; }"
        "var before = seen(), name = select.selectedOptions[0].textContent;"
        f"var numbers = document.querySelector('.sliders script'); numbers.textContent = {as_text};"
        "select.insertBefore(new Option('a new one', '0'), select.options[1]); select.options[2].value = '1';"
        "startSliders(); found = [before, seen(), name, select.selectedOptions[0].textContent];"
    )
    before, after, name, name_after = seen_in(text, script, tmp_path)
    assert after == before
    assert name == name_after == ELSEWHERE


@needs_browser
def test_a_limit_at_its_end_leaves_the_best_trial_within(text: str, tmp_path: Path) -> None:
    script = MOVE + "move('limit', 'objective', 200); found = document.querySelector('.count').textContent;"
    assert int(seen_in(text, script, tmp_path).split()[0]) >= 1


@needs_browser
def test_moved_sliders_show_the_winner_that_the_report_of_that_trade_off_has(
    text: str, trials: pd.DataFrame, tmp_path: Path
) -> None:
    asked = [
        {"step_time_ratio": -0.5, "params": 0.0, "macs": 0.0},
        {"step_time_ratio": 0.0, "params": 0.0, "macs": 0.0},
        {"step_time_ratio": 0.0, "params": -0.3, "macs": 0.0},
        {"step_time_ratio": -0.03, "params": -0.02, "macs": -0.2},
    ]
    script = MOVE + "found = [who()];"
    for terms in asked:
        script += "".join(f"move('exponent', '{name}', {value});" for name, value in terms.items())
        script += "found.push(who());"
    script += "document.querySelector('.reset').click(); found.push(who());"
    found = [trial_in(words) for words in seen_in(text, script, tmp_path)]
    own = best(trials, {"step_time_ratio": -0.07, "params": -0.05})
    assert found == [own, *(best(trials, terms) for terms in asked), own]
    assert len(set(found)) > 2


@needs_browser
def test_limits_leave_out_trials_and_commands_follow_the_choice(
    text: str, trials: pd.DataFrame, tmp_path: Path
) -> None:
    script = MOVE + (
        "move('exponent', 'params', -0.1); move('limit', 'step_time_ratio', 60);"
        "found = [who(), document.querySelector('.count').textContent,"
        " document.querySelector('.live .commands').textContent,"
        " document.querySelectorAll('.live .stages tbody tr').length];"
        "move('limit', 'objective', 200); move('limit', 'params', 1); found.push(who());"
    )
    who, count, commands, stages, none = seen_in(text, script, tmp_path)
    ratios = trials["step_time_ratio"]
    most = ratios.min() * (ratios.max() / ratios.min()) ** (60 / 200)
    within = trials[ratios <= most]
    winner = best(within, {"step_time_ratio": -0.07, "params": -0.1})
    assert trial_in(who) == winner
    assert count.startswith(f"{len(within)} of {len(trials)} ")
    assert "--reward step_time_ratio=-0.07,params=-0.1,macs=0" in commands
    assert f"--trial {winner} -o trial{winner}.yaml" in commands
    assert stages == 6
    assert none == "No trial is within these limits"


@needs_browser
def test_another_device_has_its_own_step_times_and_trials(text: str, run: Path, tmp_path: Path) -> None:
    script = (
        "var select = document.querySelector('.device'); select.value = '0';"
        "select.dispatchEvent(new Event('change'));"
        "found = [document.querySelector('.live .who').textContent,"
        " document.querySelector('.count').textContent];"
    )
    who, count = seen_in(text, script, tmp_path)
    there = read_facts(run, device=ELSEWHERE)
    assert there.winner is not None
    assert trial_in(who) == there.winner.trial_id
    assert int(count.split()[0]) == len(searched(there.trials))


@needs_browser
def test_without_javascript_the_sliders_are_not_shown(text: str, tmp_path: Path) -> None:
    plain = tmp_path / "plain.html"
    plain.write_text(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    dumped = browse(plain, 1280, tmp_path, "--dump-dom")
    assert re.search(r'<div[^>]*class="live"[^>]*hidden', dumped)
    assert "The sliders need JavaScript, which is off." in dumped
