"""Wrong input of `nas train` and `nas evaluate`: devices, images that are not there or are others."""

from pathlib import Path

from error_cases import Case
from pictures import write_folder
from small_files import ARCHITECTURE
from small_networks import SMALL

from search_spaces.networks.network import build_network
from trials.training.weights_file import save_weights

WORDS = ("train", "mine.yaml", "--data", "digits", "--run", "run", "--set", "recipe.resolution=16")
FILES = {"mine.yaml": ARCHITECTURE}
DIGITS = [str(i) for i in range(10)]


def with_test_images(name: str, test: str, *classes: str, per_class: int = 12) -> Case:
    """A training on digits that is to be tested by a folder of these classes, if there are any."""
    return Case(
        name,
        (*WORDS, "--test", test),
        FILES,
        lambda folder: write_folder(folder / test, per_class=per_class, classes=classes) if classes else None,
    )


def _weights(folder: Path) -> None:
    network = build_network(SMALL, num_classes=10)
    save_weights(
        folder / "w.safetensors", network, SMALL, num_classes=10, classes=DIGITS, resolution=16
    )  # fmt: skip


def _weights_and_animals(folder: Path) -> None:
    _weights(folder)
    write_folder(folder / "animals")


TRAININGS = (
    Case("initial weights that are not there", (*WORDS, "--init", "nowhere.safetensors"), FILES),
    Case("a training's folder that is a file", (*WORDS, "--run", "mine.yaml"), FILES),
    Case("a training on more devices than there are", (*WORDS, "--devices", "128"), FILES),
    Case("a batch that devices cannot share", (*WORDS, "--devices", "3"), FILES),
    Case(
        "a mixed batch that devices cannot share",
        (*WORDS, "--devices", "2", "--set", "recipe.batch_size=62", "--set", "recipe.mixup=0.2"),
        FILES,
    ),
    Case(
        "a training on a cluster that is not there",
        (*WORDS, "--devices", "2", "--ray-address", "127.0.0.1:1"),
        FILES,
    ),
    Case("a training on images that are not there", ("train", "mine.yaml", "--data", "nowhere"), FILES),
    with_test_images("a training with test images that are not there", "nowhere"),
    with_test_images("a training with test images of other classes", "animals", "cat", "dog"),
    with_test_images("a training with a single test image of a class", "few", "0", "1", per_class=1),
    Case(
        "an evaluation on images that are not there",
        ("evaluate", "w.safetensors", "--data", "nowhere"),
        prepare=_weights,
    ),
    Case(
        "an evaluation on images of other classes",
        ("evaluate", "w.safetensors", "--data", "animals"),
        prepare=_weights_and_animals,
    ),
)
