"""Training on images with several labels, then on others with one each, from those weights."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from full_trainings import CONFIG, begun_of
from pictures import parity_digits
from rich.console import Console

from nas.events import EpochDone
from nas.screens.training import TrainingView
from nas.training.config import TrainingConfig
from nas.training.evaluation import evaluate_images, labelled_images
from nas.training.initial_weights import begin_with
from nas.training.result import TrainingResult
from nas.training.train import train_fully
from nas.training.training_events import TrainingEvent
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import Network, build_network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.images.config import DataConfig
from trials.recipe import Ramp, Recipe
from trials.training.weights_file import load_weights, save_weights

pytestmark = pytest.mark.usefixtures("as_a_worker")

PLAIN = Recipe(
    epochs=5, batch_size=64, resolution=Ramp(16, 16), learning_rate=0.03, warmup_epochs=0.5, crop_padding=0.0,
    averaging_decay=0.9, flip=False, precision="fp32",
)  # fmt: skip


def test_pre_training_on_imagenet_21k_is_full_training_with_fewer_epochs_and_a_cosine() -> None:
    """Section 5.2: the settings of ImageNet, with 60 or 30 epochs and a cosine."""
    recipe = read_yaml(Recipe, "imagenet21k")
    full = read_yaml(Recipe, "full_s")
    assert recipe == replace(full, epochs=60, schedule="cosine")
    assert [stage.resolution for stage in recipe.training_stages()] == [128, 185, 242, 300]


@pytest.mark.parametrize("size", ["m", "l"])
def test_ramps_of_larger_networks_on_imagenet_21k_are_those_that_its_recipe_says(size: str) -> None:
    text = (Recipe.SHIPPED / "imagenet21k.yaml").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith(f"#   {size.upper()}:")]
    overrides = re.findall(r"--set (\S+)", line)
    assert len(overrides) == 5
    changes = [override.removeprefix("recipe.") for override in overrides]
    changed = read_yaml(Recipe, "imagenet21k", overrides=changes)
    assert changed == replace(read_yaml(Recipe, f"full_{size}"), epochs=60, schedule="cosine")


def test_official_pre_training_on_imagenet_21k_has_the_codes_numbers() -> None:
    recipe = read_yaml(Recipe, "official_imagenet21k")
    assert (recipe.epochs, recipe.batch_size, recipe.schedule, recipe.warmup_epochs) == (
        60,
        4096,
        "cosine",
        1,
    )
    assert recipe.peak_learning_rate() == pytest.approx(0.128)
    (stage,) = recipe.training_stages()
    assert (stage.resolution, stage.dropout, stage.randaugment, stage.mixup, stage.cutmix) == (
        224,
        0,
        0,
        0,
        0,
    )
    assert (recipe.stochastic_depth, recipe.label_smoothing, recipe.cutout) == (0, 0, 0)
    assert (recipe.weight_decay, recipe.averaging_decay) == (1e-5, 0.9999)


def test_fine_tuning_after_imagenet_21k_takes_fifteen_epochs_of_cosine() -> None:
    recipe = read_yaml(Recipe, "finetune_21k_1k")
    assert (recipe.epochs, recipe.batch_size, recipe.schedule, recipe.warmup_epochs) == (15, 512, "cosine", 1)
    assert recipe.peak_learning_rate() == pytest.approx(0.001)
    assert recipe.epochs_for(2453) == 15
    assert (recipe.weight_decay, recipe.averaging_decay, recipe.stochastic_depth) == (1e-5, 0.9996, 0.2)


@pytest.fixture(scope="module")
def pre_trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Path]:
    folder = tmp_path_factory.mktemp("21k")
    source = parity_digits(folder / "parity.parquet")
    config = replace(CONFIG, data=DataConfig(source=str(source), minival=0.2), recipe=PLAIN)
    return train_fully(config, folder / "run"), source


def test_evaluation_counts_any_label_of_an_image_as_correct(
    pre_trained: tuple[TrainingResult, Path],
) -> None:
    result, source = pre_trained
    weights = load_weights(result.folder / "weights" / "best.safetensors")
    assert weights.facts["num_classes"] == 12
    assert result.accuracy > 0.6
    evaluated = evaluate_images(weights, labelled_images(str(source), weights, resolution=16))
    assert evaluated.accuracy > 0.6
    assert evaluated.confusion.sum() == evaluated.images


def test_pre_trained_weights_help_on_another_set_of_images(
    pre_trained: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    """Ten classes of the twelve: the classifier goes on with their rows, all else from where it was."""
    best = str(pre_trained[0].folder / "weights" / "best.safetensors")
    scratch = TrainingConfig(
        architecture=CONFIG.architecture,
        data=DataConfig(source="digits", fraction=0.3),
        recipe=replace(PLAIN, epochs=3, averaging_decay=0.0, learning_rate=0.016),
    )
    better = []
    for seed in (0, 1):
        events: list[TrainingEvent] = []
        begin = replace(scratch, seed=seed)
        tuned = train_fully(replace(begin, init=best), tmp_path / f"tuned-{seed}", on_event=events.append)
        better.append(tuned.accuracy - train_fully(begin, tmp_path / f"scratch-{seed}").accuracy)
        begun = begun_of(events)
        assert begun.fitted is not None
        assert not begun.fitted.missing
        assert not begun.fitted.other_shape
    assert sum(better) / len(better) > 0.1


@pytest.mark.parametrize(
    ("known", "classes", "rows"),
    [
        (["ant", "bee", "cat"], ("ant", "bee", "cat"), [0, 1, 2]),
        (["ant", "bee", "cat"], ("cat", "ant", "bee"), [2, 0, 1]),  # a folder in another order
        (["ant", "bee", "cat"], ("bee", "cat"), [1, 2]),
        (["ant", "bee", "cat"], ("dog", "eel", "fly"), None),  # as many, but others
        (["ant", "bee", "cat"], ("ant", "bee", "fly"), None),
        (None, ("ant", "bee", "cat"), None),  # weights that do not say what their rows are
    ],
)
def test_classifier_goes_on_only_with_the_rows_of_its_own_classes(
    known: list[str] | None, classes: tuple[str, ...], rows: list[int] | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    before = build_network(CONFIG.architecture, num_classes=3)
    torch.nn.init.normal_(before.classifier.bias)
    facts = {"num_classes": 3} | ({"classes": known} if known else {})
    save_weights(tmp_path / "w.safetensors", before, CONFIG.architecture, **facts)
    network = build_network(CONFIG.architecture, num_classes=len(classes))
    fresh = network.classifier.weight.clone()
    fitted = begin_with(network, str(tmp_path / "w.safetensors"), classes, architecture=CONFIG.architecture)
    assert torch.equal(network.stem[0].weight, before.stem[0].weight)
    if rows is None:
        assert sorted(fitted.other_classes) == ["classifier.bias", "classifier.weight"]
        assert torch.equal(network.classifier.weight, fresh)
    else:
        assert not fitted.other_classes
        assert torch.equal(network.classifier.weight, before.classifier.weight[rows])
        assert torch.equal(network.classifier.bias, before.classifier.bias[rows])


# ---------------------------------------------------------------------- weights of another architecture

CLASSES = tuple("0123456789")
GROWN = replace(
    CONFIG.architecture,
    stages=(
        *CONFIG.architecture.stages[:-1],
        replace(CONFIG.architecture.stages[-1], layers=CONFIG.architecture.stages[-1].layers + 1),
    ),
)


def small_weights(path: Path) -> Network:
    """A file of the small network's weights, which are not those of a new one."""
    torch.manual_seed(0)
    network = build_network(CONFIG.architecture, num_classes=10)
    torch.nn.init.normal_(network.classifier.bias)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    save_weights(path, network, CONFIG.architecture, num_classes=10, classes=list(CLASSES))
    return network.eval()


def test_a_larger_network_begins_as_the_smaller_ones_function(tmp_path: Path) -> None:
    small = small_weights(tmp_path / "w.safetensors")
    torch.manual_seed(1)
    grown = build_network(GROWN, num_classes=10)
    fitted = begin_with(grown, str(tmp_path / "w.safetensors"), CLASSES, architecture=GROWN)
    assert fitted.keeps_function
    assert "classifier.bias" in fitted.loaded
    assert not any(name.startswith("stages.2.2") for name in fitted.loaded if "running" in name)
    assert len(fitted.changes) == 1
    assert "as identity" in fitted.changes[0]
    images = torch.randn(4, 3, 32, 32)
    assert torch.allclose(grown.eval()(images), small(images), rtol=1e-5, atol=1e-5)


def test_weights_of_another_architecture_and_of_other_classes_begin_with_a_new_classifier(
    tmp_path: Path,
) -> None:
    small_weights(tmp_path / "w.safetensors")
    grown = build_network(GROWN, num_classes=10)
    fresh = grown.classifier.weight.clone()
    others = tuple("abcdefghij")
    fitted = begin_with(grown, str(tmp_path / "w.safetensors"), others, architecture=GROWN)
    assert not fitted.keeps_function
    assert sorted(fitted.other_classes) == ["classifier.bias", "classifier.weight"]
    assert torch.equal(grown.classifier.weight, fresh)


def test_weights_of_the_same_blocks_in_other_stages_are_carried_over(tmp_path: Path) -> None:
    small = small_weights(tmp_path / "w.safetensors")
    first, *others = CONFIG.architecture.stages
    absent = replace(first, stride=1, layers=0)
    divided = replace(CONFIG.architecture, stages=(first, absent, *others))
    assert divided.architecture_id == CONFIG.architecture.architecture_id
    network = build_network(divided, num_classes=10)
    fitted = begin_with(network, str(tmp_path / "w.safetensors"), CLASSES, architecture=divided)
    assert fitted.loaded
    assert fitted.keeps_function
    images = torch.randn(4, 3, 32, 32)
    assert torch.allclose(network.eval()(images), small(images), rtol=1e-5, atol=1e-5)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = small_weights(tmp_path / "w.safetensors")
    with torch.no_grad():
        network.classifier.bias[3] = torch.nan
    save_weights(
        tmp_path / "w.safetensors", network, CONFIG.architecture, num_classes=10, classes=list(CLASSES)
    )
    grown = build_network(GROWN, num_classes=10)
    with pytest.raises(ConfigError, match=r"classifier\.bias has entries that are not finite"):
        begin_with(grown, str(tmp_path / "w.safetensors"), CLASSES, architecture=GROWN)


def test_a_resnet_does_not_begin_from_the_classifier_of_another_network(tmp_path: Path) -> None:
    small_weights(tmp_path / "w.safetensors")
    resnet = read_yaml(Architecture, "resnet50")
    with torch.device("meta"):
        network = build_network(resnet, num_classes=10).to_empty(device="cpu")
    with pytest.raises(ConfigError, match="none of its weights fits"):
        begin_with(network, str(tmp_path / "w.safetensors"), CLASSES, architecture=resnet)


def test_a_resumed_training_needs_its_initial_weights_no_more(tmp_path: Path) -> None:
    small_weights(tmp_path / "w.safetensors")
    short = replace(CONFIG.recipe, epochs=2, num_training_stages=1)
    config = replace(
        CONFIG, architecture=GROWN, recipe=short, init=str(tmp_path / "w.safetensors"), test=None
    )

    ended: list[object] = []

    def stop(event: object) -> None:
        if ended and not isinstance(event, EpochDone):
            raise KeyboardInterrupt
        ended.extend([event] if isinstance(event, EpochDone) else [])

    with pytest.raises(KeyboardInterrupt):
        train_fully(config, tmp_path / "run", on_event=stop)
    (tmp_path / "w.safetensors").unlink()
    events: list[object] = []
    train_fully(config, tmp_path / "run", on_event=events.append)
    assert begun_of(events).fitted is None


def test_a_training_says_how_weights_of_another_architecture_are_carried_over(tmp_path: Path) -> None:
    small_weights(tmp_path / "w.safetensors")
    events: list[object] = []
    short = replace(CONFIG.recipe, epochs=1, num_training_stages=1)
    config = replace(
        CONFIG, architecture=GROWN, recipe=short, init=str(tmp_path / "w.safetensors"), test=None
    )
    train_fully(config, tmp_path / "run", on_event=events.append)
    console = Console(file=io.StringIO(), width=200)
    with TrainingView(console) as view:
        view.show(begun_of(events))
    lines = console.file.getvalue()  # type: ignore[attr-defined]
    assert "initial weights: of another architecture, whose function is kept" in lines
    assert "new, as identity" in lines
