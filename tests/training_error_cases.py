"""Wrong input of `nas train` on several devices."""

from error_cases import ARCHITECTURE, Case

WORDS = ("train", "mine.yaml", "--data", "digits", "--run", "run", "--set", "recipe.resolution=16")
FILES = {"mine.yaml": ARCHITECTURE}

TRAININGS = (
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
)
