"""Finalists that train longer than trials: what is asked, who wins, what each screen says of the winner."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from conftest import MakeConfig, Nas
from formula import formula_worker, with_real_params
from formula_searches import identity, run_search, run_until
from halving_searches import halving_config, learning_worker
from long_trainings import LONG, TWICE, turned_round
from screens import screen_text

from analysis.finalists import Repeats
from analysis.frame import read_epochs, read_trials
from nas.report.facts import read_facts
from nas.report.front import winner_section
from nas.report.trust import trust_section
from nas.results.export import exported_row
from nas.results.run_list import folder_status
from nas.results.status import run_status
from nas.results.summary import search_summary
from nas.results.verify import verify_run
from nas.screens.run_list import folder_screen
from nas.screens.status import status_screen
from nas.screens.summary import summary_screen
from nas.search.best_file import best_yaml
from nas.search.config import Finalists, SearchConfig
from nas.search.search import SearchResult
from nas.search.search_loop import RunRecord
from nas.search.trial_builder import TrialBuilder
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.seal import sealed_text
from search_spaces.settings.yaml_files import from_mapping, read_yaml, to_mapping, yaml_text
from trials.log.rows import ask_row
from trials.log.store import RunStore
from trials.trial import Ask


def long_ones(result: SearchResult) -> list[Any]:
    return [row for row in result.rows if row["purpose"] == "finalist"]


# ---------------------------------------------------------------- the setting


def test_one_longer_training_each_is_the_default_and_three_repeats_of_trials() -> None:
    assert (Finalists().repeats, Finalists().trainings) == (3, 15)
    assert Finalists(count=10, epochs=40) == Finalists(count=10, repeats=1, epochs=40)
    assert from_mapping(Finalists, {"epochs": 40, "repeats": 2}, name="f").trainings == 10
    assert from_mapping(Finalists, {"epochs": None}, name="f").repeats == 3
    assert to_mapping(from_mapping(Finalists, {"count": 4, "epochs": 9}, name="f"))["repeats"] == 1


def test_finalists_that_train_shorter_than_trials_are_refused(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"finalists\.epochs: 1, but trials train for 2"):
        make_config(finalists={"epochs": 1})
    with pytest.raises(ConfigError, match="epochs"):
        make_config(finalists={"epochs": 0})


def test_finalists_of_as_many_epochs_as_trials_are_repeats(make_config: MakeConfig, tmp_path: Path) -> None:
    result = run_search(make_config(finalists={"count": 2, "epochs": 2}), tmp_path / "run")
    assert Counter(row["purpose"] for row in result.rows)["repeat"] == 2


def test_a_trials_timeout_grows_with_a_finalists_epochs(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(finalists=LONG, trial_timeout=10)
    with RunStore(tmp_path / "run") as store:
        record = cast(RunRecord, SimpleNamespace(workers=()))
        build = TrialBuilder(config, store, record, predicted=None)
        asks = [
            Ask(trial_id=0, choices=config.space.smallest(), epochs=2),
            Ask(trial_id=1, choices=config.space.smallest(), epochs=6, purpose="finalist"),
        ]
        trials = []
        for ask in asks:
            architecture = config.space.decode(ask.choices)
            now = datetime(2026, 1, 1, tzinfo=UTC)
            store.record_ask(ask_row(ask, architecture=architecture, strategy="s", seed=1, asked_at=now))
            trials.append(build(ask, 1))
    assert [trial.timeout_seconds for trial in trials] == [10, 30]
    assert [trial.epochs for trial in trials] == [2, 6]


# ---------------------------------------------------------------- the search


def test_leaders_train_longer_from_scratch_and_the_winner_is_who_these_say(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(finalists=LONG, reward={"params": -0.001})  # costs decide nothing
    result = run_search(config, tmp_path / "run", turned_round)
    long = long_ones(result)
    assert [(row["epochs"], row["continues"]) for row in long] == [(6, None)] * 3
    assert [len(row["minival_accuracy"] or ()) for row in long] == [6] * 3
    assert len({row["seed"] for row in result.rows}) == len(result.rows)
    searched = [row for row in result.rows if row["purpose"] != "finalist" and row["status"] == "completed"]
    assert len(searched) == 12
    assert {row["epochs"] for row in searched} == {2}
    leaders = sorted(searched, key=lambda row: -(row["reward"] or 0))[:3]
    assert {tuple(row["choices"]) for row in long} == {tuple(row["choices"]) for row in leaders}
    # The order is turned round: the leader does not win.
    best = max(long, key=lambda row: row["reward"])
    assert result.best is not None
    assert result.best["choices"] == best["choices"] != leaders[0]["choices"]
    assert result.best["purpose"] != "finalist"


def test_a_search_stopped_among_longer_trainings_goes_on_as_if_it_had_not_been(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(finalists=TWICE)
    whole = run_search(config, tmp_path / "whole", turned_round)
    for rows in (12, 13, 15):
        run_until(config, tmp_path / "run", rows=rows, start=turned_round)
    continued = run_search(config, tmp_path / "run", turned_round)
    assert identity(continued) == identity(whole)
    assert continued.standings == whole.standings
    again = run_search(config, tmp_path / "run", turned_round)
    assert identity(again) == identity(whole)


def test_finalists_epochs_are_part_of_what_a_run_is(make_config: MakeConfig, tmp_path: Path) -> None:
    run_search(make_config(finalists=LONG), tmp_path / "run", turned_round)
    with pytest.raises(ConfigError, match=r"finalists\.epochs: the run has 6, now 8"):
        run_search(make_config(finalists={**LONG, "epochs": 8}), tmp_path / "run", turned_round)


def test_finalists_of_successive_halving_are_the_best_of_the_highest_rung(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = halving_config(make_config, finalists={"count": 2, "epochs": 27})
    result = run_search(config, tmp_path / "run", learning_worker)
    assert {row["epochs"] for row in result.rows if row["purpose"] != "finalist"} == {1, 3, 9}
    long = long_ones(result)
    assert [(row["epochs"], row["continues"]) for row in long] == [(27, None)] * 2
    whole = [row for row in result.rows if row["epochs"] == 9 and row["status"] == "completed"]
    leaders = sorted(whole, key=lambda row: -(row["reward"] or 0))[:2]
    assert {tuple(row["choices"]) for row in long} == {tuple(row["choices"]) for row in leaders}
    assert result.best is not None
    assert result.best["choices"] == max(long, key=lambda row: row["reward"])["choices"]
    assert result.best["epochs"] == 9
    with pytest.raises(ConfigError, match=r"finalists\.epochs: 3, but trials train for 9"):
        halving_config(make_config, finalists={"epochs": 3})


def test_verify_finds_a_finalist_of_other_epochs_than_the_search_file_says(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(finalists=LONG)
    run_search(config, tmp_path / "run", turned_round)
    assert verify_run(tmp_path / "run").is_whole
    other = tmp_path / "other"
    with RunStore(other) as store:
        store.record_identity(yaml_text(config))
        architecture = config.space.decode(config.space.smallest())
        ask = Ask(trial_id=0, choices=config.space.smallest(), epochs=5, purpose="finalist")
        now = datetime(2026, 1, 1, tzinfo=UTC)
        store.record_ask(ask_row(ask, architecture=architecture, strategy="s", seed=1, asked_at=now))
    faults = [fault.says for fault in verify_run(other).faults]
    assert "trial 0: its epochs are not finalists.epochs" in faults


# ---------------------------------------------------------------- the winner's headline


@pytest.mark.parametrize(
    ("finalists", "basis"),
    [
        ({"count": 2, "repeats": 3}, "mean of 3 repeats with other seeds"),
        ({"count": 2, "repeats": 1}, "of 1 repeat with another seed"),
        (TWICE, "mean of 2 trainings of 6 epochs"),
        (LONG, "of 1 training of 6 epochs"),
        (None, "of one training of 2 epochs"),
    ],
    ids=["repeats", "one repeat", "two longer", "longer", "none"],
)
def test_every_screen_names_the_winner_by_its_finalists_trainings(
    make_config: MakeConfig, tmp_path: Path, nas: Nas, finalists: dict[str, Any] | None, basis: str
) -> None:
    run = tmp_path / "runs" / "mine"
    result = run_search(make_config(finalists=finalists), run, with_real_params(turned_round))
    assert result.best is not None
    own = [row for row in result.rows if row["choices"] == result.best["choices"]]
    trainings = [row for row in own if row["purpose"] in ("repeat", "finalist")] or [result.best]
    reward = sum(row["reward"] or 0 for row in trainings) / len(trainings)
    accuracy = sum(row["accuracy"] or 0 for row in trainings) / len(trainings)
    summary = search_summary(result)
    best = run_status(run).best
    assert best is not None
    facts = read_facts(run)
    assert facts.headline is not None
    provenance = read_yaml(Architecture, run / "best.yaml").provenance or {}
    for found in (summary.reward, best.reward, facts.headline.reward, provenance["reward"]):
        assert found == pytest.approx(reward)
    for found in (summary.accuracy, best.accuracy, facts.headline.accuracy, provenance["accuracy"]):
        assert found == pytest.approx(accuracy)
    assert summary.trainings == best.trainings == facts.headline.trainings == len(trainings)
    assert provenance["epochs"] == trainings[0]["epochs"]
    # All that is printed has the mean and what it is of, and never the reward that selected the winner.
    row, standing = exported_row(run, trial=None)
    texts = {
        "terminal": screen_text(summary_screen(result, summary)),
        "status": screen_text(status_screen(run_status(run))),
        "file": best_yaml(row, run=run, file="best.yaml", standing=standing).replace("\n# ", " "),
        "report": str(winner_section(facts)),
    }
    for name, text in texts.items():
        assert f"{reward:.4f}" in text, name
        assert basis in text, name
    wide = screen_text(summary_screen(result, summary), status_screen(run_status(run)), width=400)
    assert all(len(line.rstrip()) <= 80 for line in wide.splitlines() if str(tmp_path) not in line)
    listed = screen_text(folder_screen(folder_status(run.parent)))
    assert f"{reward:.4f}" in listed
    assert f"{len(trainings)} x {trainings[0]['epochs']}" in listed
    code, described, _ = nas("describe", run)
    assert code == 0
    assert f"accuracy {accuracy:.4f}, reward {reward:.4f}" in described
    if len(trainings) > 1:
        assert facts.headline.reward_interval is not None
        low, high = facts.headline.reward_interval
        for text in [*texts.values(), described]:
            assert f"{low:.4f} to {high:.4f}" in text
    elif finalists is not None:
        assert "no interval" in texts["terminal"]
    if finalists is not None and result.best["reward"] != pytest.approx(reward):
        selected = f"{result.best['reward']:.4f}"
        named = [texts["terminal"].split("random search's")[0], texts["status"], texts["report"]]
        assert not any(selected in text for text in [*named, listed, described])
    assert exported_row(run, trial=result.best["trial_id"]) == (row, standing)
    assert (
        sealed_text(best_yaml(row, run=run, file=run / "best.yaml", standing=standing))
        == (run / "best.yaml").read_text()
    )


def test_uncertain_step_times_are_said_beside_the_winner(make_config: MakeConfig, tmp_path: Path) -> None:
    def uncertain(slot: Any) -> Any:
        inner = formula_worker(slot)

        def run_trial(trial: Any) -> Any:
            for event in inner(trial):
                measurement = getattr(event, "measurement", None)
                if measurement is not None:
                    step_time = replace(measurement.step_time, flag="uncertain by 9 %")
                    event = replace(event, measurement=replace(measurement, step_time=step_time))
                yield event

        return run_trial

    for name, finalists in (("long", TWICE), ("none", None)):
        run = tmp_path / name
        result = run_search(make_config(finalists=finalists), run, uncertain)
        assert result.best is not None
        said = "(uncertain by 9 % in 2 of 2)" if finalists else "(uncertain by 9 %)"
        assert said in screen_text(summary_screen(result, search_summary(result)))
        assert "uncertain by 9 %" in screen_text(status_screen(run_status(run)))
        assert said in str(winner_section(read_facts(run)))
        assert said in (run / "best.yaml").read_text()
        assert "†" in screen_text(folder_screen(folder_status(tmp_path)))


def test_no_screen_puts_rewards_of_trials_beside_those_of_longer_trainings(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = run_search(make_config(finalists=TWICE), run, turned_round)
    selected = [standing.finalist.selected_reward for standing in result.standings]
    text = screen_text(summary_screen(result, search_summary(result)))
    table = text[text.index("finalist ") : text.index("stage ")]
    assert "selected" not in table
    assert not any(f"{reward:.4f}" in table for reward in selected)
    assert "after 2 epochs: not to be compared with the above" in text
    assert "not comparable" in screen_text(status_screen(run_status(run)))
    section = str(trust_section(read_facts(run)))
    assert "ring" not in section
    assert "for 6 epochs" in section


def test_status_tells_which_trainings_of_finalists_are_to_come(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config: SearchConfig = make_config(finalists=LONG)
    run_until(config, tmp_path / "run", rows=13, start=turned_round)
    found = run_status(tmp_path / "run")
    assert (found.state, found.repeats) == ("stopped", Repeats(1, 3, epochs=6, is_longer=True))
    assert "1/3 trainings of finalists (6 epochs)" in screen_text(status_screen(found))
    run_search(config, tmp_path / "run", turned_round)
    assert run_status(tmp_path / "run").state == "finished"


def test_a_progressive_recipe_is_stretched_over_a_finalists_epochs(
    nas: Nas, digits_search_file: Path
) -> None:
    """The real thing, small."""
    recipe = "recipe={epochs: 2, batch_size: 64, resolution: {start: 8, end: 16}, num_training_stages: 2}"
    code, out, err = nas(
        "search", digits_search_file, "--in-process", "--run", "run", "--json",
        "--set", "finalists={count: 2, epochs: 4}", "--set", recipe,
    )  # fmt: skip
    assert code == 0, err
    figures = json.loads(out)
    assert (figures["trainings"], figures["epochs"]) == (1, 4)
    trials, epochs = read_trials("run"), read_epochs("run")
    long = trials[trials.purpose == "finalist"]
    assert len(long) == 2
    for trial_id in long.trial_id:
        assert epochs[epochs.trial_id == trial_id].resolution.tolist() == [8, 8, 16, 16]
    assert set(epochs[epochs.trial_id == 0].resolution) == {8, 16}
    assert verify_run(Path("run")).is_whole
