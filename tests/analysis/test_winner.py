"""Which trial wins: one rule for the search, best.yaml, nas status, nas export and the report."""

from pathlib import Path
from typing import Any

import pytest
from conftest import MakeConfig
from formula import lucky
from formula_searches import TWO, run_search

from analysis.winner import Winner, best_trial_of, winner
from nas.report.facts import read_facts
from nas.results.export import exported_row
from nas.results.status import run_status
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml


def told_winners(run: Path) -> set[object]:
    """The winner by each that tells one."""
    facts = read_facts(run)
    assert facts.winner is not None
    best = run_status(run).best
    assert best is not None
    file = read_yaml(Architecture, run / "best.yaml").provenance or {}
    return {
        exported_row(run, trial=None)[0]["trial_id"],
        best.trial_id,
        facts.winner.trial_id,
        file["trial_id"],
    }


@pytest.mark.parametrize("finalists", [TWO, None], ids=["repeated", "one training"])
@pytest.mark.parametrize("strategy", [{"name": "predictor", "initial": 8}, {"name": "evolution"}], ids=str)
def test_report_export_status_and_notebook_name_one_winner(
    make_config: MakeConfig, tmp_path: Path, strategy: dict[str, Any], finalists: dict[str, int] | None
) -> None:
    config = make_config(
        strategy=strategy, finalists=finalists, reward={"params": -0.001}, budget={"trials": 20}, baseline=8
    )
    result = run_search(config, tmp_path / "run", lucky)
    assert result.best is not None
    assert told_winners(tmp_path / "run") == {result.best["trial_id"]}
    written = (tmp_path / "run" / "best.yaml").read_text()
    (tmp_path / "run" / "best.yaml").write_text("not: a network")
    run_search(config, tmp_path / "run", lucky)  # it has ended, and says again who won
    assert (tmp_path / "run" / "best.yaml").read_text() == written


def trial_of(trial_id: int, reward: float | None, **changes: Any) -> dict[str, Any]:
    row = {"trial_id": trial_id, "status": "completed", "purpose": "search", "epochs": 4, "reward": reward}
    return {**row, "accuracy": 0.5, "choices": (trial_id,), **changes}


def test_the_winner_is_by_repeats_else_recommended_else_by_reward() -> None:
    rows = [trial_of(0, 0.5), trial_of(1, 0.7), trial_of(2, 0.6), trial_of(3, 0.9, status="cached")]
    assert winner(rows, recommended=None) == Winner(1)
    assert winner(rows, recommended=2) == Winner(2)
    assert winner(rows, recommended=3) == winner(rows, recommended=8) == Winner(1)
    assert winner([*rows, trial_of(4, 0.2, epochs=8)], recommended=None) == Winner(4)  # a longer training
    again = [trial_of(5 + i, reward, choices=(i,), purpose="repeat") for i, reward in enumerate((0.6, 0.5))]
    found = winner([*rows, *again], recommended=2)
    assert found is not None
    assert found.trial_id == 0
    assert found.standing is not None
    assert found.standing.finalist.rewards == (0.6,)
    assert winner(rows[3:], recommended=3) is None
    assert winner(
        [trial_of(0, None), trial_of(1, float("nan")), trial_of(2, 0.1)], recommended=None
    ) == Winner(2)


def test_the_best_trial_of_an_architecture_is_its_longest_then_its_best() -> None:
    rows = [
        trial_of(i, r, choices=[1, 2], epochs=e) for i, (r, e) in enumerate([(0.9, 2), (0.5, 8), (0.6, 8)])
    ]
    assert best_trial_of((1, 2), rows) == 2
    assert best_trial_of((1, 3), rows) is None
