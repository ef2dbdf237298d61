"""A full training as one configuration: which network, on which images, how, and when it ends early."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.search.same_search import differences
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.resolutions import check_resolution
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.strict import STRICT
from search_spaces.settings.yaml_files import peek_yaml, read_yaml, to_mapping, yaml_text
from trials.images.config import DataConfig
from trials.images.data_record import OF_TEST
from trials.log.durable_files import NameTakenError
from trials.log.file_names import DATA_FILE
from trials.log.log_end import FencedError
from trials.log.run_places import files_of, place_of
from trials.objective import ACCURACY, Objective
from trials.recipe import Recipe

FILE = "training.yaml"  # in the training's folder


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainingConfig:
    """Everything that decides a full training. Its curve follows from this alone, also when it is resumed.

    The best weights are chosen by minival; `test`, if there is one, is read once, when all is decided.
    """

    architecture: Architecture
    data: DataConfig
    recipe: Recipe
    test: str | None = None
    init: str | None = None  # a weights file, also another network's
    objective: Objective = ACCURACY  # on minival: by it the best epoch is chosen
    patience: int | None = Field(default=None, ge=1)  # evaluations without a better objective
    evaluate_every: int | None = Field(
        default=None, ge=1
    )  # epochs; None: each, unless they are short and many
    seed: int = Field(default=0, ge=0, lt=2**63)

    def __post_init__(self) -> None:
        check_sizes(self.architecture, self.recipe)


def check_sizes(architecture: Architecture, recipe: Recipe) -> None:
    """Checks that the network can be trained, and evaluated, on the images of each stage of the recipe.

    Raises:
        ValueError: they are too small for it.
    """
    for stage in recipe.training_stages():
        for size in (stage.resolution, recipe.evaluation_size(stage)):
            try:
                check_resolution(architecture, size)
            except ValueError as error:
                raise ValueError(f"recipe.resolution: {error}; or a recipe of larger images") from None


def read_training(folder: Path, *, overrides: Sequence[str] = ()) -> TrainingConfig:
    """The recorded configuration of a training.

    Raises:
        ConfigError: it does not read.
    """
    return read_yaml(TrainingConfig, folder / FILE, overrides=overrides, recorded=True)


def as_begun(config: TrainingConfig, folder: Path) -> TrainingConfig:
    """The configuration as an earlier version meant it, where that has begun the training in this folder."""
    if not (folder / FILE).is_file():
        return config
    recipe = config.recipe.as_begun(peek_yaml(folder / FILE).get("recipe") or {})
    return config if recipe == config.recipe else replace(config, recipe=recipe)


def check_same_training(config: TrainingConfig, folder: Path) -> None:
    """A training is resumed as it was begun; where recorded images lie may change, as they are compared.

    Raises:
        ConfigError: with the keys that differ.
    """
    before, now = to_mapping(read_training(folder)), to_mapping(config)
    before["architecture"].pop("provenance", None), now["architecture"].pop("provenance", None)
    if (folder / DATA_FILE).is_file():
        before["data"].pop("source"), now["data"].pop("source")
    if (folder / f"{OF_TEST}{DATA_FILE}").is_file() and config.test is not None:
        before.pop("test", None), now.pop("test", None)
    if found := list(differences(before, now, "")):
        raise ConfigError(
            f"{place_of(folder)}: this training was begun with another configuration:\n"
            + "\n".join(f"  {line}" for line in found)
            + "\nResume it as it was, or choose another --run"
        )


def record_config(config: TrainingConfig, folder: Path) -> None:
    """Writes down the configuration of a training that begins, or whose images lie elsewhere now.

    Raises:
        FencedError: another driver, on another machine, has just begun another training here.
    """
    files, text = files_of(folder), yaml_text(config, header=f"nas train --run {place_of(folder)}").encode()
    if (folder / FILE).is_file():
        recorded = read_training(folder)
        if (recorded.data.source, recorded.test) == (config.data.source, config.test):
            return
    elif not files.have_locks:
        try:
            return files.create(folder / FILE, text)
        except NameTakenError:
            raise FencedError(
                f"{place_of(folder)}: another training has just begun here; choose another --run"
            ) from None
    files.write(folder / FILE, text)
