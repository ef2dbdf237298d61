"""Mistakes of newcomers to YAML and to these files: each message says what to write instead."""

from pathlib import Path

import pytest

from nas.search.config import SearchConfig
from search_spaces.choices.described import read_described
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.recipe import Recipe

SEARCH = """\
space: tiny
data: {source: digits}
recipe: proxy_digits
strategy: evolution
reward: {params: -0.05}
budget: {trials: 24}
seed: 0
"""
RECIPE = """\
epochs: 8
batch_size: 64
resolution: {start: 16, end: 32}
learning_rate: 0.016
flip: false
mixup: 0
"""
ROW = "{op: [mbconv, fused_mbconv], kernel_size: 3, expansion_ratio: 4, channels: 16, layers: [1, 2]}"
SPACE = f"""\
stem_channels: 8
stages:
- {ROW}
head_channels: 32
reference:
  stem_channels: 8
  stages:
  - {{op: mbconv, kernel_size: 3, stride: 2, expansion_ratio: 4, channels: 16, layers: 1}}
  head_channels: 32
"""


def said_of(folder: Path, text: str, old: str, new: str) -> list[str]:
    """The message about a file in which `old` is replaced; it is empty where `new` follows the text."""
    assert old in text
    file = folder / "mine.yaml"
    file.write_text(text.replace(old, new, 1) if old else text + new)
    kind = SearchConfig if text == SEARCH else Recipe
    with pytest.raises(ConfigError) as refused:
        read_described(str(file)) if text == SPACE else read_yaml(kind, file)
    return str(refused.value).splitlines()


@pytest.mark.parametrize(
    ("text", "old", "new", "place", "mend"),
    [
        # Keys on another level
        (
            SEARCH,
            "",
            "learning_rate: 0.1\n",
            "learning_rate",
            "proxy_digits.yaml: replace its value by --set recipe.learning_rate=0.1",
        ),
        (SEARCH, "budget: {trials: 24}", "trials: 24", "trials", "(did you mean 'budget.trials'?)"),
        (SEARCH, "", "channels: 8\n", "channels", "(it belongs into each item of 'space.stages')"),
        (
            SPACE,
            "head_channels",
            "channels: 8\nhead_channels",
            "channels",
            "belongs into each item of 'stages')",
        ),
        (SPACE, "stem_channels: 8\n", "stem: 8\n", "stem", "(did you mean 'stem_channels'?)"),
        (RECIPE, "learning_rate", "lr", "lr", "(did you mean 'learning_rate'?)"),
        (SPACE, "layers: [1, 2]}", "layers: [1, 2], se: 0.25}", "stages[0].se", "(did you mean 'se_ratio'?)"),
        # Values of another shape
        (SEARCH, "{source: digits}", "digits", "data", "; write {source: digits}"),
        (SEARCH, "{trials: 24}", "24", "budget", "; write {trials: 24}"),
        (SEARCH, "", "initial: best.yaml\n", "initial", "; write [best.yaml]"),
        (SEARCH, "", "warm_start: [runs/a]\n", "warm_start", "; write runs/a"),
        (SEARCH, "", "trial_timeout: 10m\n", "trial_timeout", "; write 600"),
        (
            SEARCH,
            "{source: digits}",
            "[{source: digits}, {minival: 0.2}]",
            "data",
            "; leave out the '-'",
        ),
        (SPACE, f"\n- {ROW}", f" {ROW}", "stages", "; put '- ' before the first of its keys"),
        (
            SPACE,
            "[mbconv, fused_mbconv]",
            "'mbconv, fused_mbconv'",
            "stages[0].op",
            "[mbconv, fused_mbconv]",
        ),
        (SPACE, "layers: [1, 2]", "layers: 1-3", "stages[0].layers", "; write [1, 2, 3]"),
        (RECIPE, "{start: 16, end: 32}", "[16, 32]", "resolution", "; write {start: 16, end: 32}"),
        (RECIPE, "{start: 16, end: 32}", "(16, 32)", "resolution", "; write {start: 16, end: 32}"),
        (RECIPE, "{start: 16, end: 32}", "32x32", "resolution", "; write 32"),
        (RECIPE, "{start: 16, end: 32}", "16,32", "resolution", "; write {start: 16, end: 32}"),
        (RECIPE, "{start: 16, end: 32}", "128,300", "resolution", "; write {start: 128, end: 300}"),
        (RECIPE, "{start: 16, end: 32}", "16/32", "resolution", "; write {start: 16, end: 32}"),
        (RECIPE, "{start: 16, end: 32}", "0,5", "resolution", "; write 0.5"),
        (RECIPE, "{start: 16, end: 32}", "1/64", "resolution", "write 0.015625"),
        (SPACE, "layers: [1, 2]", "layers: 1:4", "stages[0].layers", "; write [1, 2, 3, 4]"),
        (SPACE, "layers: [1, 2]", "layers: '1,2'", "stages[0].layers", "; write [1, 2]"),
        (SPACE, "layers: [1, 2]", "layers: '1,000'", "stages[0].layers", "; write 1000"),
        (SEARCH, "", "timing: bf16\n", "timing", "; write {precision: bf16}"),
        (SEARCH, "", "finalists: 3\n", "finalists", "; write {count: 3}"),
        (SEARCH, "{params: -0.05}", "none", "reward", "; write {}, where nothing is meant"),
        (RECIPE, "", "weight_decay: None\n", "weight_decay", "; leave the key out for its default"),
        (SEARCH, "", "timing: none\n", "timing", "; leave the key out for its default"),
        # Durations
        (SEARCH, "{trials: 24}", "{device_seconds: 10m}", "budget.device_seconds", "; write 600"),
        (SEARCH, "", "trial_timeout: 10M\n", "trial_timeout", "; write 600"),
        (SEARCH, "", "trial_timeout: 1d\n", "trial_timeout", "; write 86400"),
        (SEARCH, "", "trial_timeout: 1h30m\n", "trial_timeout", "; write 5400"),
        # Names: the nearest, not the first that begins so
        (RECIPE, "", "decay: 0.9\n", "decay", "(did you mean 'rms_decay'?)"),
        (RECIPE, "", "evaluation: center\n", "evaluation", "(did you mean 'evaluation_crop'?)"),
        (SEARCH, "", "step: measured\n", "step", "(did you mean 'step_time'?)"),
        (SEARCH, "", "timing: {batch: 8}\n", "timing.batch", "(did you mean 'batch_size'?)"),
        (RECIPE, "flip: false", "flip: 0", "flip", "; write false"),
        (RECIPE, "flip: false", "flip: y", "flip", "; write true"),
        (RECIPE, "mixup: 0", "mixup: None", "mixup", "; leave the key out, where nothing is meant"),
        # Numbers in other words
        (RECIPE, "0.016", "1/64", "learning_rate", "formulas are not computed: write 0.015625"),
        (RECIPE, "64", "2^6", "batch_size", "formulas are not computed: write 64"),
        (RECIPE, "epochs: 8", "epochs: 8 epochs", "epochs", "; write 8, without a unit"),
        (RECIPE, "epochs: 8", "epochs: 8,", "epochs", "; write 8"),
        (RECIPE, "epochs: 8", "epochs: 8# all", "epochs", "; write 8: a comment begins with a space and a #"),
        (RECIPE, "epochs: 8", "epochs: \uff18", "epochs", "; write 8, in plain characters"),
        # Signs of YAML
        (SEARCH, "digits", "${DATA}", "line 2, column 16", "variables (${…}) are not replaced here"),
        (SEARCH, "", "%seed: 1\n", "line 8, column 1", "a line that begins with % is put in quotes"),
        (SEARCH, "seed: 0", "seed:0", "line 7, column 5", "a space is missing behind this ':'"),
        (SPACE, "- {op: [", "-{op: [", "line 3, column 1", "a space is missing behind this '-'"),
        (
            SPACE,
            "3, expansion", "3 expansion", "line 3, column 47",
            "a ',' is missing before 'expansion_ratio:'",
        ),
        (
            RECIPE,
            "{start: 16",
            "{'start'=16",
            "line 3, column 21",
            "':' and a space are expected",
        ),
        (
            SPACE,
            "stages:\n-",
            "stages:\n  first: 1\n-",
            "line 4, column 1",
            "begin with '- '",
        ),
    ],
)  # fmt: skip
def test_a_message_says_where_and_what_to_write(
    tmp_path: Path, text: str, old: str, new: str, place: str, mend: str
) -> None:
    said = said_of(tmp_path, text, old, new)
    assert len(said) == 1, "what follows from the mistake is not said beside it"
    assert said[0].startswith(f"mine.yaml: {place}: ")
    assert mend in said[0]


def test_a_file_whose_content_stands_a_level_too_deep_misses_nothing(tmp_path: Path) -> None:
    wrapped = "recipe:\n" + "".join(f"  {line}\n" for line in RECIPE.splitlines())
    (said,) = said_of(tmp_path, RECIPE, RECIPE, wrapped)
    assert said.endswith("what stands in it is expected here, without 'recipe:' (line 1)")


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("epochs = 8\nbatch_size = 64\n", True),
        ("torch==2.1\nnumpy==2\n", False),
        ("https://example.org/?epochs=8&x=1&y=2\n", False),
        ("model = build(width=2)\n", False),
    ],
)
def test_a_text_of_known_keys_and_signs_of_equality_is_told_of_colons(
    tmp_path: Path, text: str, is_told: bool
) -> None:
    (said,) = said_of(tmp_path, RECIPE, RECIPE, text)
    assert "holds text; a mapping (key: value lines) is expected, with the keys epochs, batch_size" in said
    assert said.endswith("; write ': ' in the place of each '='") == is_told


@pytest.mark.parametrize(
    ("text", "old", "new", "missing", "unknown", "meant"),
    [
        # A misspelt key that may be left out, beside one that may not
        (SPACE, "expansion_ratio: 4", "se_ratios: 0", "stages[0].expansion_ratio", "se_ratios", "se_ratio"),
        (RECIPE, "epochs: 8", "warmup_epoch: 1", "epochs", "warmup_epoch", "warmup_epochs"),
        (RECIPE, "epochs: 8", "weight_decai: 0", "epochs", "weight_decai", "weight_decay"),
        (RECIPE, "batch_size: 64", "precisions: auto", "batch_size", "precisions", "precision"),
        (SEARCH, "strategy: evolution", "steptime: measured", "strategy", "steptime", "step_time"),
        (SEARCH, "recipe: proxy_digits", "objectives: accuracy", "recipe", "objectives", "objective"),
        (SEARCH, "budget: {trials: 24}", "finalist: {count: 3}", "budget", "finalist", "finalists"),
        (SPACE, "stem_channels: 8", "stem_strides: 2", "stem_channels", "stem_strides", "stem_stride"),
        # A key of nothing here
        (SEARCH, "budget: {trials: 24}", "wandb: true", "budget", "wandb", ""),
        (SPACE, "head_channels: 32", "name: mine", "head_channels", "name", ""),
        (SPACE, "channels: 16", "filters: 16", "stages[0].channels", "filters", ""),
    ],
)  # fmt: skip
def test_a_missing_key_is_missed_beside_an_unknown_one(
    tmp_path: Path, text: str, old: str, new: str, missing: str, unknown: str, meant: str
) -> None:
    said = said_of(tmp_path, text, old, new)
    assert any(line.startswith(f"mine.yaml: {missing}: missing; expected ") for line in said)
    (line,) = (line for line in said if f"'{unknown}' is not a key here" in line)
    assert f"(did you mean '{meant}'?)" in line if meant else "did you mean" not in line


@pytest.mark.parametrize(
    ("text", "old", "new", "end"),
    [
        # No proposal that would be refused in its turn, or is not certain
        (SEARCH, "{trials: 24}", "0", "device_seconds (line 6)"),
        (SEARCH, "", "finalists: 0\n", "repeats, epochs (line 8)"),
        (SEARCH, "", "bound_stopping: 95.0\n", "the key max_accuracy (line 8)"),
        (SEARCH, "", "resolution: 16\n", "'recipe.resolution' or 'timing.resolution'?) (line 8)"),
        (SEARCH, "{trials: 24}", "none", "device_seconds (line 6)"),
        (RECIPE, "epochs: 8", "epochs: None", "a whole number (line 1)"),
        (RECIPE, "0.016", "10\u2076", "a number (line 4)"),
        (RECIPE, "0.016", "1e400k", "a number (line 4)"),
        (SPACE, "layers: [1, 2]", "layers: [None]", "a whole number (line 3)"),
        # No list where one value belongs
        (RECIPE, "", "optimizer: rmsprop, sgd\n", "(did you mean 'rmsprop'?) (line 7)"),
        (RECIPE, "", "schedule: cosine, constant\n", "(did you mean 'constant'?) (line 7)"),
        (RECIPE, "epochs: 8", "epochs: 8 16", "a whole number (line 1)"),
        (SPACE, "{op: mbconv", "{op: 'mbconv, conv'", "(did you mean 'mbconv'?) (line 8)"),
        # No text that is too long to be shown
        (SEARCH, "", f"warm_start: [runs/{'a' * 90}]\n", "expected text (line 8)"),
        (SEARCH, "{source: digits}", "a" * 90, "max_corrupt, max_pixels (line 2)"),
        (SEARCH, "", f"trial_timeout: {'9' * 400}h\n", "a number of seconds (line 8)"),
        (SPACE, "[mbconv, fused_mbconv]", f"'{', '.join(['mbconv'] * 20)}'", "mbconv, uib (line 3)"),
    ],
)  # fmt: skip
def test_no_proposal_is_made_that_cannot_be_meant(
    tmp_path: Path, text: str, old: str, new: str, end: str
) -> None:
    (said,) = said_of(tmp_path, text, old, new)
    assert said.endswith(end)


@pytest.mark.parametrize("key", ["warmup-epochs:2", "data.source:digits"])
def test_a_key_that_holds_its_value_misses_a_space(tmp_path: Path, key: str) -> None:
    (said,) = said_of(tmp_path, RECIPE, "flip: false", f"? {key}")
    assert "is a key without a value; a space is missing behind the ':'" in said


def test_an_architecture_with_lists_is_told_what_a_list_means(tmp_path: Path) -> None:
    said = said_of(tmp_path, SPACE, SPACE[SPACE.index("reference") :], "")
    assert said[-1].startswith("mine.yaml: a file with lists of options is a search space; an architecture")


def test_a_key_that_may_be_missing_twice_hides_no_other_complaint(tmp_path: Path) -> None:
    """`epochs` may be the recipe's or the budget's: one of them stays missing in any case."""
    said = said_of(tmp_path, SEARCH, "budget: {trials: 24}", "epochs: 8")
    assert [line.split(": ")[1] for line in said] == ["epochs", "budget"]
