"""A card is complete: each section has its figures from the records, or says which command supplies them."""

import json
import re
import shutil
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from documents import typed, unknown
from handed import PREVIEW, evaluated, facts_of, train_to_hand_on

from analysis.intervals import share
from nas.hub import evaluated as evaluated_module
from nas.hub import names
from nas.hub.card import card_text
from nas.hub.card_facts import card_facts
from nas.hub.card_results import CONFUSED, confused_pairs
from nas.hub.evaluated import FILE, KeptEvaluation, evaluated_now
from nas.hub.folder import card_preview, write_folder
from nas.hub.search_facts import RecordedStepTime, SearchFacts, step_time_of
from nas.results.audit import AuditFigures
from nas.training.calibration import BINS, Calibration
from nas.training.config import TrainingConfig
from nas.training.finished import finished_training
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import parse_yaml
from trials.images.data_record import read_facts
from trials.training.weights_file import load_weights

SECTIONS = [
    "How to load it", "Results", "Confusion", "Calibration of probabilities", "Use and limits",
    "Training", "Data",
    "Architecture", "Step time S", "Search and audit", "Digests", "Licence",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training without test images."""
    return train_to_hand_on(tmp_path_factory.mktemp("card") / "flowers")


def section(card: str, title: str) -> str:
    """The text of a section."""
    return card.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def front(card: str) -> dict[str, Any]:
    """The metadata of a card."""
    found: dict[str, Any] = parse_yaml(card.split("---\n")[1], name="card")
    return found


def test_a_card_has_all_sections_and_leaves_nothing_open(trained: Path) -> None:
    card = card_preview(card_facts(trained), PREVIEW)
    assert re.findall(r"^## (.+)$", card, flags=re.M) == SECTIONS
    assert all(section(card, title).strip() for title in SECTIONS)
    words = re.sub(r"```.*?```", "", card, flags=re.S)
    assert not re.search(r"(?i:more information needed|\btodo\b|\bnan\b)|\bNone\b", words)
    assert {command for command in typed(card) if unknown(command)} == set()


def test_metadata_has_the_licence_the_task_and_the_result(trained: Path) -> None:
    card = card_preview(card_facts(trained), PREVIEW)
    found = front(card)
    assert (found["license"], found["pipeline_tag"], found["library_name"]) == (
        "mit", "image-classification", "training-aware-nas"
    )  # fmt: skip
    (index,) = found["model-index"]
    (result,) = index["results"]
    finished = finished_training(trained)
    assert finished is not None
    assert result["metrics"][0]["value"] == pytest.approx(finished.accuracy, abs=1e-6)
    assert (result["dataset"]["name"], result["dataset"]["split"]) == ("digits", "minival")


def test_accuracies_have_their_images_and_intervals_and_minival_is_called_high(trained: Path) -> None:
    finished, data = finished_training(trained), read_facts(trained)
    assert finished is not None
    assert data is not None
    said = section(card_preview(card_facts(trained), PREVIEW), "Results")
    interval = share(round(finished.accuracy * data.minival), data.minival)
    assert f"| minival | {data.minival} | **{finished.accuracy:.4f}** |" in said
    assert f"{interval.low:.4f} to {interval.high:.4f}" in said
    assert "has chosen the epoch, and is a little high" in said
    assert "| test |" not in said
    assert "No test images were given to the training" in said


def test_where_test_images_were_read_confusion_and_calibration_are_of_these(tmp_path: Path) -> None:
    folder = train_to_hand_on(tmp_path / "tested", test="digits", objective="balanced_accuracy")
    facts, finished = card_facts(folder), finished_training(folder)
    assert finished is not None
    assert facts.evaluation is not None
    found = facts.evaluation
    assert (found.part, found.evaluation.images) == ("test", finished.test_images)
    assert found.evaluation.accuracy == finished.test_accuracy
    card = card_preview(facts, PREVIEW)
    said = section(card, "Results")
    assert f"| test | {finished.test_images:,} | **{finished.test_accuracy:.4f}** |" in said
    assert "had the best balanced accuracy on minival" in said
    assert "is that of these weights, which minival has chosen" in said
    assert "But the test images are of the source that was trained on" in said
    assert f"The balanced accuracy is **{finished.value:.4f}** on minival images and " in said
    assert f"**{finished.test_value:.4f}** on test images." in said
    balanced = front(card)["model-index"][0]["results"][0]["metrics"][1]
    assert (balanced["type"], balanced["value"]) == (
        "balanced_accuracy", pytest.approx(finished.test_value, abs=1e-6)
    )  # fmt: skip
    assert front(card)["model-index"][0]["results"][0]["dataset"]["split"] == "test"
    assert "| test | `digits` |" in section(card, "Data")
    assert "Minival has chosen" not in card


def test_confusion_and_calibration_are_of_the_minival_images_alone_and_kept(trained: Path) -> None:
    finished, data = finished_training(trained), read_facts(trained)
    facts = card_facts(trained)
    assert finished is not None
    assert data is not None
    assert facts.evaluation is not None
    found = facts.evaluation.evaluation
    assert found.images == data.minival == facts.evaluation.calibration.images
    assert found.accuracy == pytest.approx(finished.accuracy, abs=1.01 / data.minival)

    def not_again(folder: Path, config: object) -> None:
        raise AssertionError("evaluated again")

    again = card_facts(trained, evaluate=not_again)  # type: ignore[arg-type]
    assert again.evaluation is not None
    assert np.array_equal(again.evaluation.evaluation.confusion, found.confusion)
    assert again.evaluation.calibration == facts.evaluation.calibration


def test_an_evaluation_of_other_weights_is_not_taken_for_theirs(trained: Path) -> None:
    card_facts(trained)
    record = json.loads((trained / FILE).read_text())
    record["holds_for"]["weights"] = "0" * 64
    (trained / FILE).write_text(json.dumps(record))
    asked: list[Path] = []

    def evaluate(folder: Path, config: TrainingConfig) -> KeptEvaluation:
        asked.append(folder)
        return evaluated_now(folder, config)

    assert card_facts(trained, evaluate=evaluate).evaluation is not None
    assert asked == [trained]


def test_without_its_images_a_card_says_how_its_evaluation_is_computed(trained: Path) -> None:
    facts = facts_of(trained, evaluation=None, no_evaluation="/secret/place: there is no such folder")
    card = card_text(facts, PREVIEW, names.NEEDED)
    for title in ("Confusion", "Calibration of probabilities"):
        assert "Not computed: the minival images (`digits`) could not be read" in section(card, title)
        assert "--set data.source=IMAGES` records" in section(card, title)
    assert "/secret/place" not in card
    of_test = replace(facts, config=replace(facts.config, test="/secret/place/t"), are_other_images=True)
    said = section(card_text(of_test, PREVIEW, names.NEEDED), "Confusion")
    assert "the test images (`t`) were not those of the training any more" in said
    assert "--set test=IMAGES` records" in said


def test_what_a_reader_has_to_know_of_labels_weights_and_test_images_is_said(trained: Path) -> None:
    facts = facts_of(trained)
    plain = card_text(facts, PREVIEW, names.NEEDED)
    assert "several labels" not in plain
    assert "began from the weights" not in plain
    config = replace(facts.config, init="/home/alice/start.safetensors", test="/home/alice/tests")
    card = card_text(replace(facts, config=config, has_several_labels=True), PREVIEW, names.NEEDED)
    assert "counts as right if it is any of them" in section(card, "Results")
    assert "began from the weights `start.safetensors`" in section(card, "Use and limits")
    assert "`tests`, of which no digest was recorded" in section(card, "Data")
    assert "/home/alice" not in card


def test_images_that_are_others_by_now_are_told_from_missing_ones(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def others(*words: object, **options: object) -> None:
        raise ConfigError("2 images added")

    folder = Path(shutil.copytree(trained, tmp_path / "copy"))
    (folder / FILE).unlink(missing_ok=True)
    monkeypatch.setattr(evaluated_module, "check_same_data", others)
    facts = card_facts(folder)
    assert (facts.evaluation, facts.no_evaluation, facts.are_other_images) == (None, "2 images added", True)


def test_an_evaluation_that_cannot_be_kept_is_still_one(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "copy"))
    (folder / FILE).unlink(missing_ok=True)
    config = card_facts(folder, evaluate=partial(evaluated_now, keep=False)).config
    assert not (folder / FILE).exists()
    (folder / FILE).mkdir()  # a place that cannot be written
    assert evaluated_now(folder, config).evaluation.images


def test_numbers_that_json_has_not_are_none_in_the_results(trained: Path, tmp_path: Path) -> None:
    facts = facts_of(trained)
    assert facts.evaluation is not None
    evaluation = replace(facts.evaluation.evaluation, loss=float("nan"))
    folder = tmp_path / "flowers"
    folder.mkdir()
    write_folder(replace(facts, evaluation=replace(facts.evaluation, evaluation=evaluation)), folder, PREVIEW)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    results = json.loads((folder / names.RESULTS).read_text(), parse_constant=refuse)
    assert results["evaluation"]["loss"] is None


def test_conditions_of_a_step_time_are_no_markup(trained: Path) -> None:
    step = step_time_of({"step_time_ratio": 0.5, "precision": "<b>", "timing_mode": "[a](b)"})
    said = section(card_text(facts_of(trained, step_time=step), PREVIEW, names.NEEDED), "Step time S")
    assert r"\<b\>, \[a\](b)" in said


@pytest.mark.parametrize("name", ["PROFILE", "NUM_CLASSES", "FETCH$place${file}"])
def test_a_name_is_no_field_of_the_code(trained: Path, name: str) -> None:
    place = f"alice/{name}"
    handing = replace(PREVIEW, place=place, onnx=True)
    card = card_text(facts_of(trained), handing, (*names.NEEDED, names.TIMM, names.ONNX))
    assert card.count(f'snapshot_download("{place}")') == 2
    assert "num_classes=10," in card


def test_confused_pairs_come_in_the_order_of_their_images() -> None:
    kept = evaluated(np.array([[5, 2, 0], [0, 9, 4], [1, 0, 7]]), ("a", "b", "c"))
    assert confused_pairs(kept.evaluation) == [(1, 2, 4), (0, 1, 2), (2, 0, 1)]


def test_a_card_of_a_thousand_classes_stays_readable(trained: Path) -> None:
    classes = tuple(f"class {i}" for i in range(1000))
    confusion = np.full((1000, 1000), 1, np.int64)
    facts = facts_of(trained)
    data = replace(facts.data, classes=classes, images_of_classes=(1000,) * 1000)
    kept = evaluated(confusion, classes)
    card = card_text(replace(facts, evaluation=kept, data=data), PREVIEW, names.NEEDED)
    assert f"(the {CONFUSED} most frequent of 999,000)" in card
    assert "and 900 more" in section(card, "Data")
    assert len(card) < 25_000


def test_names_of_classes_are_no_markup(trained: Path) -> None:
    odd = "a|b](https://x.example) <script>\n# `c` \u202e"
    kept = evaluated(np.array([[5, 2], [0, 9]]), (odd, "b"))
    facts = facts_of(trained)
    data = replace(facts.data, classes=(odd, "b"), images_of_classes=(7, 9))
    card = card_text(replace(facts, evaluation=kept, data=data), PREVIEW, names.NEEDED)
    (row,) = re.findall(r"^\| a.*? \| b \| 2 \| 7 \|$", card, flags=re.M)
    assert r"a\|b\](https://x.example) \<script\>\\n\# \`c\` \\u202e" in row.replace(r"\:", ":")
    assert "<script>" not in card
    assert "\u202e" not in card


def test_calibration_has_a_row_for_each_bin_with_images(trained: Path) -> None:
    counts = (*[0] * (BINS - 2), 30, 10)
    calibration = Calibration(counts, (*[0.0] * (BINS - 2), 0.9, 0.97), (*[0.0] * (BINS - 2), 0.6, 0.8))
    kept = evaluated(np.array([[40]]), ("a",), calibration=calibration)
    card = card_text(facts_of(trained, evaluation=kept), PREVIEW, names.NEEDED)
    said = section(card, "Calibration of probabilities")
    assert "**0.2675**" in said  # (30 * 0.3 + 10 * 0.17) / 40
    assert "| 0.87 to 0.93 | 30 | 0.900 | 0.600 |" in said
    assert len(re.findall(r"^\| 0", said, flags=re.M)) == 2


def test_step_time_has_its_error_and_conditions_from_the_log(trained: Path) -> None:
    step = RecordedStepTime(
        ratio=0.8, relative_error=0.01, seconds=0.05, seconds_p10=0.048, seconds_p90=0.06,
        reference_seconds=0.0625, device="NVIDIA H200", resolution=224, batch_size=256, precision="bf16",
        mode="graph", source="measured", is_exclusive=True, uncertain="clocks varied",
    )  # fmt: skip
    said = section(card_text(facts_of(trained, step_time=step), PREVIEW, names.NEEDED), "Step time S")
    assert "**0.800** times" in said
    assert "(95 %: 0.784 to 0.816)" in said
    assert "50 ms (median; 10 to 90 % of steps: 48 to 60 ms)" in said
    assert "device NVIDIA H200, 224 px, batch 256, bf16, graph, the device to itself" in said
    assert "uncertain: clocks varied" in said


def test_a_run_that_is_not_there_is_named_with_the_option_that_finds_it(trained: Path) -> None:
    card = card_preview(card_facts(trained), PREVIEW)
    assert "**0.750** times" in section(card, "Step time S")
    assert "`--from-run RUN` names it" in section(card, "Step time S")
    assert "the run `flowers-run`, which was not found" in section(card, "Search and audit")
    assert "/home/somebody" not in card


def test_an_audit_has_its_tau_and_a_search_without_one_names_the_command(trained: Path) -> None:
    audit = AuditFigures(
        run="r", architectures=20, top=4, seed_deviation=0.01, tau=0.71, tau_interval=(0.5, 0.86),
        recall=0.75, recall_interval=(0.25, 1.0), regret=0.004, regret_interval=None,
    )  # fmt: skip
    search = SearchFacts(
        run="flowers-run", trial_id=4, trials=60, strategy="evolution", step_time=None, log_digest="ab" * 32,
        audit=audit, audit_epochs=(40, 40),
    )  # fmt: skip
    card = card_text(facts_of(trained, search=search), PREVIEW, names.NEEDED)
    said = section(card, "Search and audit")
    assert "| Kendall's tau of the two rankings | 0.710 | 0.500 to 0.860 |" in said
    assert "| reward lost by the short ranking's first | 0.004 | too few |" in said
    assert "20 architectures of the run were trained again for 40 epochs" in said
    assert "ab" * 32 in section(card, "Digests")
    unequal = replace(search, audit_epochs=(20, 40), trials_of_it=2)
    said = section(card_text(facts_of(trained, search=unequal), PREVIEW, names.NEEDED), "Search and audit")
    assert "trained again for 20 to 40 epochs" in said
    assert "the first of 2 of this architecture" in said
    given = facts_of(trained, search=search, named_run=None)
    assert "given as a file" not in card_text(given, PREVIEW, names.NEEDED)
    without = card_text(facts_of(trained, search=replace(search, audit=None)), PREVIEW, names.NEEDED)
    assert "No audit was run" in section(without, "Search and audit")


def test_a_training_that_has_not_ended_has_no_card(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "training.yaml").write_text((trained / "training.yaml").read_text())
    with pytest.raises(ConfigError, match="has not ended: nas train --run"):
        card_facts(tmp_path / "half")
    with pytest.raises(ConfigError, match="this is no training"):
        card_facts(tmp_path)


def test_code_of_a_card_loads_the_network_here_in_onnx_and_in_timm(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_onnx = all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
    folder = tmp_path / "flowers"
    folder.mkdir()
    write_folder(card_facts(trained), folder, replace(PREVIEW, place="flowers", onnx=bool(has_onnx)))
    monkeypatch.chdir(tmp_path)
    ours = load_weights(trained / "weights" / "best.safetensors").network().eval()
    images = torch.randn(2, 3, 16, 16)
    blocks = re.findall(r"```python\n(.*?)```", (folder / names.CARD).read_text(), flags=re.S)
    assert ["nas.hub" in blocks[0], "timm" in blocks[1], "onnxruntime" in blocks[2]] == [True] * 3
    found: dict[str, Any] = {}
    exec(blocks[0], found)
    with torch.no_grad():
        assert torch.equal(found["network"](images), ours(images))
    if has_onnx:
        exec(blocks[2], found)
        with torch.no_grad():
            expected = ours(torch.zeros(1, 3, 16, 16)).numpy()
        np.testing.assert_allclose(found["logits"], expected, atol=1e-4)
    if find_spec("timm") is not None:
        from other_libraries import import_others

        import_others()
        exec(blocks[1], found)
        with torch.no_grad():
            difference = found["model"](images) - ours(images)
        assert float(difference.abs().max()) < 1e-4


def test_metrics_are_read_as_they_were_shown(trained: Path) -> None:
    frame = pd.read_parquet(trained / "metrics.parquet")
    assert [each.epoch for each in card_facts(trained).metrics] == frame.epoch.tolist()
