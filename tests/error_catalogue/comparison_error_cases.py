"""Wrong input of `nas compare`: networks, folders and what contradicts itself."""

from pathlib import Path

from error_cases import Case
from small_networks import SMALL, WIDE

from nas.comparing.config import (
    ComparisonConfig,
    ComparisonPlan,
    Conditions,
    Equal,
    NetworkCosts,
    record_plan,
)
from nas.comparing.networks import read_networks
from search_spaces.settings.yaml_files import write_yaml
from trials.images.config import DataConfig
from trials.recipe import Ramp, Recipe

WORDS = ("compare", "small.yaml", "wide.yaml", "--data", "digits", "--run", "run")
SIZE = ("--set", "recipe.resolution=16")
REST = ("--data", "digits", "--run", "run", *SIZE)
NOWHERE = ("--data", "nowhere", "--run", "run")
RECIPE = Recipe(epochs=2, batch_size=64, resolution=Ramp(16, 16), flip=False)


def _networks(folder: Path) -> None:
    for name, architecture in (("small", SMALL), ("wide", WIDE), ("again", SMALL)):
        write_yaml(architecture, folder / f"{name}.yaml")
    (folder / "other").mkdir()
    write_yaml(WIDE, folder / "other" / "small.yaml")


def _begun(folder: Path, *, equal: Equal = "epochs") -> None:
    """A comparison of which no training has begun."""
    _networks(folder)
    write_yaml(RECIPE, folder / "recipe.yaml")
    (folder / "run").mkdir()
    networks = read_networks([str(folder / "small.yaml"), str(folder / "wide.yaml")])
    config = ComparisonConfig(networks=networks, data=DataConfig(source="digits"), recipe=RECIPE, equal=equal)
    conditions = Conditions(
        device_name="some CPU", precision="fp32", precision_reason="as asked for", num_classes=10,
        resolution=16, batch_size=64, train_images=1294, minival_images=144, data_digest="0",
    )  # fmt: skip
    costs = {name: NetworkCosts(params=1, macs=1, epochs=2) for name in networks}
    record_plan(ComparisonPlan(config=config, conditions=conditions, costs=costs), folder / "run")


def _of(name: str, *arguments: str) -> Case:
    return Case(name, ("compare", *arguments), prepare=_networks)


def _of_begun(name: str, *arguments: str) -> Case:
    return Case(name, ("compare", *arguments), prepare=_begun)


def _begun_of_equal_time(folder: Path) -> None:
    _begun(folder, equal="time")


COMPARISONS = (
    _of("a comparison of a network that is not there", "small.yaml", "nowhere", *REST),
    _of("a comparison of a space", "small.yaml", "tiny", *REST),
    _of("a comparison of one network", "small.yaml", "--data", "digits", "--run", "run"),
    _of("one network, and no comparison to show", "small.yaml"),
    _of("no networks to compare", "--data", "digits"),
    _of("a comparison of the same network twice", "small.yaml", "again.yaml", *REST),
    _of("a comparison of two networks of one name", "small.yaml", "other/small.yaml", *REST),
    _of("a comparison without images", *WORDS[1:3], "--run", "run"),
    _of("a comparison on images that are not there", *WORDS[1:3], *NOWHERE, *SIZE),
    _of("a comparison by a recipe of too small images", "small.yaml", "efficientnet-b0", *NOWHERE, *SIZE),
    _of("a comparison by a recipe, misspelt", *WORDS[1:], "--recipe", "cifar11"),
    _of("a comparison without repeats", *WORDS[1:], *SIZE, "--repeats", "0"),
    _of("a comparison of equal size", *WORDS[1:], *SIZE, "--equal", "size"),
    _of("a comparison of equal time that may end early", *WORDS[1:], *SIZE, "--equal", "time",
        "--patience", "3"),
    _of("a comparison in a precision of GPUs", *WORDS[1:], *SIZE, "--set", "recipe.precision=fp16"),
    _of("a comparison's folder that is a file", *WORDS[1:5], "--run", "small.yaml", *SIZE),
    _of("a comparison's folder below a file", *WORDS[1:5], "--run", "small.yaml/run", *SIZE),
    _of("a comparison's folder that holds something else", *WORDS[1:5], "--run", "other", *SIZE),
    _of("a comparison in an object store", *WORDS[1:5], "--run", "s3://bucket/compare", *SIZE),
    _of("a comparison to go on with that is not there", "--run", "run"),
    _of_begun("a comparison that goes on by another recipe", *WORDS[1:], *SIZE, "--recipe", "recipe.yaml",
              "--set", "recipe.epochs=3", "--set", "recipe.flip=true"),
    _of_begun("a comparison that goes on without one of its networks", "small.yaml", "efficientnet-b0", *REST,
              "--recipe", "recipe.yaml", "--set", "recipe.resolution=32"),
    _of_begun("a comparison that goes on with fewer repeats", "--run", "run", "--repeats", "2"),
    _of_begun("images of a comparison that goes on, without its networks", "--run", "run", "--data", "digits",
              "--equal", "time"),
    Case("equal epochs of a comparison of equal time that goes on",
         ("compare", "--run", "run", "--equal", "epochs"), prepare=_begun_of_equal_time),
    _of_begun("the default recipe of a comparison that goes on", "--run", "run", "--recipe", "cifar10"),
    _of_begun("more repeats of a comparison that is only shown", "run", "--repeats", "8"),
    _of_begun("other settings of a comparison that is only shown", "run", "--data", "digits",
              "--test", "digits", "--equal", "epochs", "--set", "seed=3"),
)  # fmt: skip
