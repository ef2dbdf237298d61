"""The types of rows: columns of asks and trials, and what they keep of a measurement."""

import json
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from conftest import MakeConfig
from formula import formula_result

from nas.search.best_file import best_yaml
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import from_mapping, parse_yaml
from trials.images.data_record import DataFacts
from trials.log.recorded import INFERENCE_TIME_COLUMNS, MEASUREMENT_COLUMNS, STEP_TIME_COLUMNS
from trials.log.row_types import AskRow, EpochRow, TrialRow, measured, number_of
from trials.log.rows import ask_columns, ask_row, cached_row, epoch_row, trial_row
from trials.log.schema import ASK_COLUMNS, EPOCH_COLUMNS, TRIAL_COLUMNS
from trials.measurement import InferenceTime, Measurement, StepTime
from trials.trial import Ask, EpochResult, Trial

# Attributes of measurements that no column keeps as they are: a row joins the flags of both times to
# timing_flag, and has the seconds of the whole trial; a time's conditions are the trial's.
NOT_KEPT = {
    Measurement: {"step_time", "inference_time", "objective"},
    StepTime: {"timing_seconds", "rounds", "flag"},
    InferenceTime: {
        "inference_seconds_p10", "inference_seconds_p90", "resolution", "precision", "rounds", "flag",
    },
}  # fmt: skip
KEPT = {Measurement: MEASUREMENT_COLUMNS, StepTime: STEP_TIME_COLUMNS, InferenceTime: INFERENCE_TIME_COLUMNS}


def test_an_asks_columns_have_the_types_that_they_have_in_its_trials_row() -> None:
    in_trials = get_type_hints(TrialRow)
    assert get_type_hints(AskRow).items() <= in_trials.items()


@pytest.mark.parametrize("kind", KEPT)
def test_every_attribute_of_a_measurement_has_a_column_or_is_named_as_not_kept(kind: type) -> None:
    assert KEPT[kind].keys() | NOT_KEPT[kind] == {each.name for each in fields(kind)}
    assert not KEPT[kind].keys() & NOT_KEPT[kind]


@pytest.fixture
def rows(make_config: MakeConfig) -> tuple[AskRow, TrialRow, TrialRow, EpochRow]:
    """An ask's row, the rows of a completed and of a cached trial, and an epoch's."""
    config = make_config()
    architecture, now = config.space.reference, datetime(2026, 2, 3, tzinfo=UTC)
    asks = [
        ask_row(
            Ask(trial_id=i, choices=(1, 0, 0), epochs=1),
            architecture=architecture,
            strategy="evolution",
            seed=7,
            asked_at=now,
        )
        for i in range(2)
    ]
    trial = Trial(
        trial_id=0, choices=(1, 0, 0), architecture=architecture, recipe=config.recipe, epochs=1, seed=7
    )
    epoch = EpochResult(
        trial_id=0,
        attempt=1,
        epoch=1,
        train_loss=1.0,
        train_accuracy=0.5,
        minival_loss=1.0,
        minival_accuracy=0.25,
        minival_accuracy_raw=0.25,
        learning_rate=0.1,
        resolution=16,
        train_seconds=1.0,
        evaluate_seconds=0.1,
    )
    result = formula_result(trial, accuracy=0.25, epochs=(epoch,))
    ended = trial_row(asks[0], result, reward=0.2, environment_id="e")
    return asks[0], ended, cached_row(asks[1], ended), epoch_row(epoch)


def test_rows_have_all_columns_in_order_and_those_that_are_required(
    rows: tuple[AskRow, TrialRow, TrialRow, EpochRow],
) -> None:
    kinds = (ASK_COLUMNS, TRIAL_COLUMNS, TRIAL_COLUMNS, EPOCH_COLUMNS)
    for row, columns in zip(rows, kinds, strict=True):
        assert list(row) == [column.name for column in columns]
        assert [column.name for column in columns if column.required and row.get(column.name) is None] == []


def test_a_trials_row_repeats_its_ask(rows: tuple[AskRow, TrialRow, TrialRow, EpochRow]) -> None:
    ask, ended, *_ = rows
    assert ask_columns(ended) == ask
    assert list(ask_columns(ended)) == list(ask)


def test_numbers_are_read_by_the_name_of_their_column(
    rows: tuple[AskRow, TrialRow, TrialRow, EpochRow],
) -> None:
    _, ended, *_ = rows
    assert (number_of(ended, "accuracy"), number_of(ended, "inference_seconds")) == (0.25, None)
    assert measured(ended, "step_time_ratio") == 1.5
    with pytest.raises(AssertionError, match="trial 0 completed with no inference_seconds"):
        measured(ended, "inference_seconds")
    with pytest.raises(AssertionError, match="architecture does not hold numbers"):
        number_of(ended, "architecture")


def test_a_cached_trial_has_a_file_of_its_architecture_though_it_ran_nowhere(
    rows: tuple[AskRow, TrialRow, TrialRow, EpochRow], tmp_path: Any
) -> None:
    _, ended, cached, _ = rows
    cached = {**cached, "params": 50_000}
    text = best_yaml(cached, run=tmp_path / "run", file="best.yaml")
    described = from_mapping(Architecture, parse_yaml(text, name="best.yaml"), name="best.yaml")
    assert described.provenance is not None
    assert described.provenance["trial_id"] == 1
    assert "finished_at" not in described.provenance
    assert "finished_at" in best_yaml(ended, run=tmp_path / "run", file="best.yaml")


def test_classes_in_best_yaml_are_those_of_the_recorded_images(
    rows: tuple[AskRow, TrialRow, TrialRow, EpochRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = DataFacts(
        source="digits", digest="d", split_digest="s", train=9, minival=3, classes=("a", "b", "c"),
        images_of_classes=(4, 4, 4), unreadable=(), notes=(),
    )  # fmt: skip
    (tmp_path / "data.json").write_text(json.dumps(asdict(facts)))
    monkeypatch.setattr("nas.search.best_file.count", None)  # which takes a tenth of a second for each
    text = best_yaml(rows[1], run=tmp_path, file="best.yaml")
    described = from_mapping(Architecture, parse_yaml(text, name="best.yaml"), name="best.yaml")
    assert described.provenance is not None
    assert described.provenance["num_classes"] == 3
