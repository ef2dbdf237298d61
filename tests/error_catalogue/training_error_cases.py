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
BROKEN = {"mine.yaml": ARCHITECTURE.replace("mbconv", "mbcnov")}
DIGITS = [str(i) for i in range(10)]


def with_test_images(name: str, test: str, *classes: str) -> Case:
    """A training on digits that is to be tested by a folder of these classes, if there are any."""
    return Case(
        name,
        (*WORDS, "--test", test),
        FILES,
        lambda folder: write_folder(folder / test, classes=classes) if classes else None,
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
    Case("an architecture to train that is not there", ("train", "nowhere.yaml", "--data", "digits")),
    Case("an architecture to train that is broken", ("train", "mine.yaml", "--data", "digits"), BROKEN),
    Case("a recipe to train by, misspelt", (*WORDS[:4], "--recipe", "finetun"), FILES),
    Case("images to train on of no name", ("train", "mine.yaml", "--data", ""), FILES),
    Case("initial weights that are not there", (*WORDS, "--init", "nowhere.safetensors"), FILES),
    Case("a training's folder that is a file", (*WORDS, "--run", "mine.yaml"), FILES),
    Case(
        "a training's folder that is a file, before images are looked for",
        ("train", "mine.yaml", "--data", "nowhere", "--run", "mine.yaml"),
        FILES,
    ),
    Case("a training in a precision of GPUs", (*WORDS, "--set", "recipe.precision=fp16"), FILES),
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
    Case(
        "an evaluation on images that are not there",
        ("evaluate", "w.safetensors", "--data", "nowhere"),
        prepare=_weights,
    ),
    Case(
        "a confusion matrix over weights",
        ("evaluate", "w.safetensors", "--data", "digits", "-o", "w.safetensors"),
        prepare=_weights,
    ),
    Case(
        "a confusion matrix below a file",
        ("evaluate", "w.safetensors", "--data", "digits", "-o", "w.safetensors/a.png"),
        prepare=_weights,
    ),
    Case(
        "an evaluation on images of other classes",
        ("evaluate", "w.safetensors", "--data", "animals"),
        prepare=_weights_and_animals,
    ),
)
