"""The network of a mark in the report's pictures: its stages, curves and YAML, by mouse and by keyboard."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser import needs_browser, seen_in
from synthetic_run import synthetic_config, write_run

from analysis.ranking import searched
from nas.report.facts import read_facts
from nas.report.networks import MOST_VALUES, curves_of, numbered_networks
from nas.report.page import page
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import from_mapping, parse_yaml
from trials.log.rows import architecture_from_json, architecture_json


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "it's <flowers>"
    write_run(folder, 60, config=synthetic_config(budget={"trials": 60}))
    return folder


def yaml_of(networks: Any, i: int) -> str:
    """A trial's YAML as the script puts it together."""
    lines = [networks.lines[number] for number in networks.stages[i]]
    return networks.outsides[networks.outside[i]] + "stages:\n" + "\n".join(lines) + "\n"


def test_the_yaml_of_every_trial_reads_back_to_its_architecture(run: Path) -> None:
    facts = read_facts(run)
    trials = searched(facts.trials)
    networks = numbered_networks(trials, facts.config.space.reference)
    for i, text in enumerate(trials["architecture"]):
        read = from_mapping(Architecture, parse_yaml(yaml_of(networks, i), name="page"), name="page")
        assert read == architecture_from_json(text)
    assert len(networks.lines) == len(networks.cells)


def test_stages_that_say_their_activation_and_networks_of_another_one_read_back_too() -> None:
    stage = {"op": "mbconv", "expansion_ratio": 4, "channels": 16, "layers": 1}
    made = [
        {"activation": "relu", "stages": [stage]},
        {"activation": "relu", "stages": [{**stage, "activation": "silu"}]},
        {"stages": [stage, {**stage, "op": "uib", "start_kernel_size": 3}]},
        {"stem_stride": 1, "padding": "same", "stages": [stage]},
    ]
    ends = {"stem_channels": 16, "head_channels": 32}
    architectures = [from_mapping(Architecture, {**ends, **each}, name="x") for each in made]
    trials = pd.DataFrame({"architecture": [architecture_json(each) for each in architectures]})
    networks = numbered_networks(trials, architectures[0])
    for i, architecture in enumerate(architectures):
        text = yaml_of(networks, i)
        assert from_mapping(Architecture, parse_yaml(text, name="page"), name="page") == architecture
    assert networks.reference == networks.stages[0]


def test_curves_of_the_best_are_held_as_far_as_there_is_room() -> None:
    length = MOST_VALUES // 3
    rows = [[0.123456789] * length, [0.5] * length, None, [float("nan")] * 2, [0.7] * length, [0.1] * length]
    trials = pd.DataFrame({"reward": [0.1, 0.9, 0.8, 0.7, 0.6, 0.05], "minival_accuracy": pd.Series(rows)})
    (found,) = curves_of(trials, ["minival_accuracy"])
    assert [len(curve) for curve in found] == [length, length, 0, 0, length, 0]
    assert found[0][0] == 0.12346


@needs_browser
def test_a_mark_of_the_front_shows_its_network_by_mouse_and_by_keyboard(run: Path, tmp_path: Path) -> None:
    facts = read_facts(run)
    script = """
    var panel = document.querySelector('.of-mark');
    var marks = document.querySelectorAll('[tabindex][data-mark]');
    function text(name) { return panel.querySelector(name).textContent; }
    function seen(mark) {
      return {trial: mark.dataset.mark, who: text('.who'), yaml: text('.yaml'), commands: text('.commands'),
              stages: panel.querySelectorAll('tbody tr').length,
              curves: panel.querySelectorAll('.curve-place svg').length, role: mark.getAttribute('role')};
    }
    found = [panel.hidden];
    marks[0].dispatchEvent(new MouseEvent('click', {bubbles: true}));
    found.push(panel.hidden, seen(marks[0]));
    marks[1].focus();
    marks[1].dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}));
    found.push(seen(marks[1]));
    var dot = document.querySelector('circle.dot');
    dot.dispatchEvent(new MouseEvent('click', {bubbles: true}));
    found.push(seen(dot));"""
    before, after, *shown = seen_in(page(facts), script, tmp_path)
    assert (before, after) == (True, False)
    assert [each["role"] for each in shown] == ["button", "button", None]
    by_number = facts.trials.set_index("trial_id")
    for each in shown:
        row = by_number.loc[int(each["trial"])]
        assert each["who"].startswith(f"Trial {each['trial']}, accuracy {row['accuracy']:.4f},")
        assert each["who"].endswith(f"reward {row['reward']:.4f}")
        assert f"--trial {each['trial']} -o trial{each['trial']}.yaml" in each["commands"]
        assert (each["stages"], each["curves"]) == (6, 2)
        assert "of the run it's <flowers>: accuracy" in each["yaml"].splitlines()[1]
        read = from_mapping(Architecture, parse_yaml(each["yaml"], name="page"), name="page")
        assert read == architecture_from_json(row["architecture"])


@needs_browser
def test_arrow_keys_on_a_picture_go_along_front_and_ranking(run: Path, tmp_path: Path) -> None:
    script = """
    var canvas = document.querySelector('canvas'), who = document.querySelector('.live .who');
    function press(key) {
      canvas.dispatchEvent(new KeyboardEvent('keydown', {key: key, bubbles: true, cancelable: true}));
      return Number(/rial (\\d+)/.exec(who.textContent)[1]);
    }
    var best = Array.from(document.querySelectorAll('.best [data-trial]')).map(function (b) {
      return Number(b.dataset.trial);
    });
    found = [best.slice(0, 3), [press('ArrowDown'), press('ArrowDown'), press('ArrowDown'), press('ArrowUp')],
             canvas.tabIndex, [press('ArrowRight'), press('ArrowRight'), press('ArrowLeft')]];"""
    best, pressed, index, along = seen_in(page(read_facts(run)), script, tmp_path)
    assert pressed == [best[0], best[1], best[2], best[1]]
    assert index == 0
    assert along[2] == along[0] != along[1]


@needs_browser
def test_the_button_copies_the_yaml_that_is_shown(run: Path, tmp_path: Path) -> None:
    script = """
    var copied = [];
    Object.defineProperty(navigator, 'clipboard', {value: {writeText: function (text) {
      copied.push(text);
      return {then: function (done) { done(); }};
    }}});
    var live = document.querySelector('.live');
    live.querySelector('[data-copies=yaml]').click();
    live.querySelector('[data-copies=commands]').click();
    found = [copied, live.querySelector('.yaml').textContent, live.querySelector('.commands').textContent,
             live.querySelector('[data-copies=yaml]').textContent];"""
    copied, yaml, commands, words = seen_in(page(read_facts(run)), script, tmp_path)
    assert copied == [yaml, commands]
    assert "stages:" in yaml
    assert words == "copied"
