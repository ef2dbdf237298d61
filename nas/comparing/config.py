"""A comparison of networks as one configuration: which networks, on which images, how, and how often."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.search.same_search import differences
from nas.training.config import check_sizes
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.faults import refuse
from search_spaces.settings.sentences import some
from search_spaces.settings.strict import STRICT
from search_spaces.settings.yaml_files import peek_yaml, read_yaml, to_mapping, yaml_text
from trials.images.config import DataConfig
from trials.log.run_places import files_of
from trials.objective import ACCURACY, Objective
from trials.recipe import Precision, Recipe

FILE = "comparison.yaml"  # in the comparison's folder
REPEATS = 3

Equal = Literal["epochs", "time"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ComparedNetwork:
    """A network of a comparison, and where it was read."""

    source: str
    architecture_id: str
    architecture: Architecture

    def __post_init__(self) -> None:
        if self.architecture_id != self.architecture.architecture_id:
            raise ValueError(
                f"the architecture is that of {self.architecture.architecture_id}, not of "
                f"{self.architecture_id}: it has been edited; put it back as it was"
            )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ComparisonConfig:
    """Networks by name, the first of which is the reference, and how all of them are trained.

    `equal`: all have the recipe's epochs, or the time that the first one takes for them. A repeat is one
    training of each network, all with the same seed; seeds are `seed`, `seed` + 1 and so on.
    """

    networks: dict[str, ComparedNetwork]
    data: DataConfig
    recipe: Recipe
    test: str | None = None
    objective: Objective = ACCURACY  # that is compared, and by which each training's best epoch is chosen
    patience: int | None = Field(default=None, ge=1)  # evaluations without a better objective on minival
    equal: Equal = "epochs"
    repeats: int = Field(default=REPEATS, ge=1, le=1000)
    seed: int = Field(default=0, ge=0, lt=2**62)

    def __post_init__(self) -> None:
        refuse(self._faults())

    def _faults(self) -> Iterator[str]:
        if len(self.networks) < 2:
            yield f"networks: there is only {some(list(self.networks))}; a comparison needs two or more"
        known: dict[str, str] = {}  # names by network
        for name, network in self.networks.items():
            if (before := known.setdefault(network.architecture_id, name)) != name:
                yield (
                    f"networks: {before} and {name} are the same network ({network.architecture_id}), of "
                    "which only chance would make a difference; leave one of them out"
                )
            try:
                check_sizes(network.architecture, self.recipe)
            except ValueError as error:
                yield f"networks.{name}: {error}"
        if self.equal == "time" and self.patience is not None:
            yield (
                "patience: it would end some trainings before others, and equal is time; leave it out, or "
                "use equal: epochs"
            )

    @property
    def reference(self) -> str:
        """Name of the first network, with which the others are compared."""
        return next(iter(self.networks))

    @property
    def seeds(self) -> range:
        """The seed of each repeat."""
        return range(self.seed, self.seed + self.repeats)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Conditions:
    """Conditions under which all networks were timed, and in which they train."""

    device_name: str
    threads: int | None = None  # of a CPU while timing; None on a GPU
    precision: Precision
    precision_reason: str
    num_classes: int
    resolution: int  # pixels: the last size of training
    batch_size: int
    train_images: int
    minival_images: int
    data_digest: str  # of pictures, labels and class names
    test_digest: str | None = None  # likewise; None without test images


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetworkCosts:
    """Size of a network, and its training step, timed in turn with the first network's."""

    params: int
    macs: int
    epochs: int  # of each of its trainings
    step_seconds: float | None = None  # median; None: it does not fit into memory
    step_time_ratio: float | None = None  # to the first network's
    step_time_ratio_spread: float | None = None  # (p90 - p10) / median; None of the first
    rounds: int = 0
    timing_flag: str | None = None  # why the time is uncertain


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ComparisonPlan:
    """A comparison with all that was decided before its first training: it goes on by this alone."""

    config: ComparisonConfig
    conditions: Conditions
    costs: dict[str, NetworkCosts]  # by name


def is_comparison(folder: Path) -> bool:
    """True of a folder in which a comparison was begun."""
    return (folder / FILE).is_file()


def read_plan(folder: Path) -> ComparisonPlan:
    """The recorded comparison of a folder.

    Raises:
        ConfigError: there is none, or it does not read.
    """
    if not is_comparison(folder):
        raise ConfigError(
            f"{folder}: no comparison to go on with here; name networks to begin one:  "
            "nas compare a.yaml b.yaml --data IMAGES"
        )
    return read_yaml(ComparisonPlan, folder / FILE, recorded=True)


def record_plan(plan: ComparisonPlan, folder: Path) -> None:
    """Writes the comparison down."""
    text = yaml_text(plan, header=f"nas compare --run {folder}")
    files_of(folder).write(folder / FILE, text.encode())


# ---------------------------------------------------------------------- going on


def continued(asked: ComparisonConfig, before: ComparisonPlan, folder: Path) -> ComparisonConfig:
    """The configuration of a comparison that goes on, to which networks and repeats may be added.

    Where the images lie may change, too: they are compared themselves.

    Raises:
        ConfigError: anything else is not as it was begun; with what differs.
    """
    begun = before.config
    recorded = (peek_yaml(folder / FILE).get("config") or {}).get("recipe") or {}
    asked = replace(asked, recipe=asked.recipe.as_begun(recorded))
    found = [*_changed_networks(asked.networks, begun), *_changed_settings(asked, begun)]
    if asked.repeats < begun.repeats:
        found.append(f"repeats: the comparison has {begun.repeats}, now {asked.repeats}; there may be more")
    if found:
        raise ConfigError(
            f"{folder}: this comparison was begun otherwise; only networks and repeats may be added:\n"
            + "\n".join(f"  {line}" for line in found)
            + f"\nGo on as it was (nas compare --run {folder}), or choose another --run"
        )
    names = {network.architecture_id: name for name, network in begun.networks.items()}
    added = {name: each for name, each in asked.networks.items() if each.architecture_id not in names}
    return replace(asked, networks={**begun.networks, **added})


def _changed_settings(asked: ComparisonConfig, begun: ComparisonConfig) -> Iterator[str]:
    before, now = to_mapping(begun), to_mapping(asked)
    for own in (before, now):
        del own["networks"], own["repeats"], own["data"]["source"]
        if begun.test is not None and asked.test is not None:
            del own["test"]
    yield from differences(before, now, "")


def _changed_networks(asked: Mapping[str, ComparedNetwork], begun: ComparisonConfig) -> Iterator[str]:
    now = {network.architecture_id: name for name, network in asked.items()}
    first = begun.networks[begun.reference]
    if next(iter(now)) != first.architecture_id:
        yield f"the first network, with which others are compared, was {begun.reference}"
    if missing := [name for name, each in begun.networks.items() if each.architecture_id not in now]:
        yield f"no longer named: {some(missing)}"
    for name, network in asked.items():
        other = begun.networks.get(name)
        if other is not None and other.architecture_id != network.architecture_id:
            before, current = (
                to_mapping(each.architecture.without_provenance()) for each in (other, network)
            )
            changes = list(differences(before, current, name))
            yield f"{name} is another network now: {some(changes, between='; ')}"
