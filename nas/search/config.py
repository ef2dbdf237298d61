"""The search file: everything that decides a search, read once and strictly."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import Field, PlainValidator, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from analysis.trial_rules import Unit
from nas.strategies.strategy import PromotingSettings, StrategyConfig
from nas.strategies.table import read_strategy
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.resolutions import check_resolution
from search_spaces.settings.faults import refuse
from search_spaces.settings.overrides import Override
from search_spaces.settings.setting_errors import SettingError, blaming, naming_origins
from search_spaces.settings.strict import STRICT
from search_spaces.settings.yaml_files import read_yaml
from trials.images.config import DataConfig
from trials.measurement import Timing
from trials.objective import ACCURACY, Objective
from trials.recipe import Recipe
from trials.reward import check_names, faults_of_exponents
from trials.trial import MAX_TRIALS, STALL_SECONDS

# Settings that decide at which resolutions networks are built
SIZES = (
    ("recipe", "resolution"),
    ("recipe", "resolutions"),
    ("recipe", "num_training_stages"),
    ("timing", "resolution"),
)
REPEATS = 3  # of a finalist, where they are as long as a trial
BASELINE = 20  # random trials, where a file does not say how many
NAME_IMAGES = "name your images:  --set data.source=PATH"  # to whoever named some that are not there


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Budget:
    """The end of a search, by exactly one of these. Crashed and cached trials do not count."""

    trials: int | None = Field(default=None, ge=1, le=MAX_TRIALS)
    epochs: int | None = Field(default=None, ge=1)
    device_seconds: float | None = Field(default=None, gt=0, description="seconds")

    def __post_init__(self) -> None:
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"give one of trials, epochs and device_seconds; found {found}")

    @property
    def unit(self) -> Unit:
        """Unit in which the budget is counted."""
        units: tuple[Unit, ...] = get_args(Unit)
        return next(unit for unit in units if getattr(self, unit) is not None)

    @property
    def total(self) -> float:
        """The whole budget, in its unit."""
        total: float = getattr(self, self.unit)
        return total


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Finalists:
    """Trainings of the best architectures with other seeds, once the budget is spent and beyond it.

    With `epochs` they are longer than trials: from scratch, by the same recipe over that many epochs. One
    training each is then the default: what is uncertain is above all how short trials rank.
    """

    count: int = Field(default=5, ge=1, le=1000)
    repeats: int = Field(default=REPEATS, ge=1, le=1000)
    epochs: int | None = Field(default=None, ge=1, le=100_000)  # None: those of a trial

    @model_validator(mode="before")
    @classmethod
    def _once_where_longer(cls, given: Any) -> Any:
        return _once_where_longer(given)

    @property
    def trainings(self) -> int:
        """Number of trainings of all finalists together."""
        return self.count * self.repeats


def _once_where_longer(given: Any) -> Any:
    if isinstance(given, ArgsKwargs):
        return ArgsKwargs(given.args, _once_where_longer(given.kwargs or {}))
    is_longer = isinstance(given, Mapping) and given.get("epochs") is not None
    return {"repeats": 1, **given} if is_longer else given


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedLag:
    """Ask n depends on the results of asks up to n - fixed_lag alone: not on timing, nor on the workers."""

    fixed_lag: int = Field(ge=1, le=100_000)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BoundStopping:
    """Early stopping by a bound: a trial that could not be the best even at `max_accuracy` does not train.

    `max_accuracy` (0-1) is what no trial of this length is believed to exceed, of accuracy or of the search's
    other objective. The strategy learns the bound as the trial's reward.
    """

    max_accuracy: float = Field(default=1.0, gt=0, le=1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SearchConfig:
    """A search: what is searched, on which images, how a trial trains, what counts, for how long.

    A strategy begins with what the run `warm_start` found. `initial` architectures are trained first, then
    `baseline` uniform ones, which the report compares the strategy with; both count in the budget. With order
    `arrival` a strategy learns results as they come.
    `step_time_table` is a file that `nas measure --table` wrote: by it, architectures beyond the limit on
    step time are not proposed. With `step_time: predicted` it also stands for measuring.
    `checkpoint_dir` is a folder, or a URL of an object store, that all workers reach: in it, trials keep
    their state after each epoch. If none is given, a run in an object store has them there, and a strategy
    whose trials go on from shorter ones takes a folder in the run directory.
    """

    SHIPPED: ClassVar[Path] = Path(__file__).parent.parent / "searches"

    space: SearchSpace
    data: DataConfig
    recipe: Recipe
    strategy: Annotated[StrategyConfig, PlainValidator(read_strategy)]
    reward: dict[str, float]  # measured quantity: exponent
    objective: Objective = ACCURACY  # the reward's first factor
    timing: Timing = Timing()
    checkpoint_dir: str | None = Field(default=None, min_length=1)
    # Without an event for so long, a worker is killed; a trial that takes longer is infeasible.
    stall_timeout: float = Field(default=STALL_SECONDS, gt=0, description="seconds")
    trial_timeout: float | None = Field(default=None, gt=0, description="seconds")
    initial: tuple[Architecture, ...] = ()
    # A run of equal space, data, recipe, timing and objective.
    warm_start: str | None = Field(default=None, min_length=1)
    step_time: Literal["measured", "predicted"] = "measured"
    step_time_table: str | None = Field(default=None, min_length=1)
    baseline: int = Field(default=BASELINE, ge=0)
    budget: Budget
    order: Literal["arrival"] | FixedLag = "arrival"
    bound_stopping: BoundStopping | None = None
    finalists: Finalists | None = None
    seed: int = Field(default=0, ge=0, lt=2**63)

    def __post_init__(self) -> None:
        refuse(self._faults())

    def _faults(self) -> Iterator[str]:
        yield from faults_of_exponents(self.reward)  # names: a run may have had terms of its own
        if self.budget.trials is not None and self.baseline > self.budget.trials:
            default = ", its default" if self.baseline == BASELINE else ""
            yield (
                f"budget.trials: {self.budget.trials}, fewer than the random ones of baseline "
                f"({self.baseline}{default}); lower baseline, or raise budget.trials"
            )
        if self.step_time == "predicted" and self.step_time_table is None:
            yield (
                "step_time: predicted, but there is no step_time_table; build one with nas measure --table "
                "and this file, and name it"
            )
        if 0 < self.finalist_epochs < self.recipe.epochs:
            yield (
                f"finalists.epochs: {self.finalist_epochs}, but trials train for {self.recipe.epochs}; a "
                "shorter training decides nothing: give more, or leave it out for repeats as long as a trial"
            )
        for i, architecture in enumerate(self.initial):
            try:
                self.space.encode(architecture)
            except ValueError as error:
                yield f"initial[{i}]: {error}"
        try:
            rungs = self.rungs
        except ValueError as error:
            yield str(error)
        else:
            yield from _faults_of_rungs(self) if rungs else ()

    @property
    def finalist_epochs(self) -> int:
        """Epochs of a finalist's training; 0 without finalists."""
        if self.finalists is None:
            return 0
        return self.finalists.epochs or self.recipe.epochs

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs that trials may have, ascending, where the strategy promotes them; else nothing.

        Raises:
            ValueError: the recipe's epochs are too few for the strategy's settings.
        """
        settings = self.strategy.settings
        if not isinstance(settings, PromotingSettings):
            return ()
        try:
            return settings.rungs(self.recipe.epochs)
        except ValueError as error:
            raise ValueError(f"strategy.{error}") from error


def _faults_of_rungs(config: SearchConfig) -> Iterator[str]:
    """Sentences about what trials of several lengths need so that they can be compared, and do not have."""
    recipe, name = config.recipe, config.strategy.name
    words = " and ".join(map(str, config.rungs))
    if not recipe.is_extensible:
        found, needed = f"recipe.schedule is {recipe.schedule}", "recipe.schedule=constant"
        if recipe.schedule != "cosine":
            found = f"recipe.num_training_stages is {recipe.num_training_stages}"
            needed = "recipe.num_training_stages=1"
        yield (
            f"{name} trains for {words} epochs, and a short training must be the beginning of a longer one: "
            f"{found}; set {needed}"
        )
    if not recipe.averaging_decay:
        yield (
            f"{name} compares averaged weights, since the learning rate never falls to 0: "
            "recipe.averaging_decay is 0; set recipe.averaging_decay=0.99 or higher"
        )
    if config.rungs[0] <= recipe.warmup_epochs:
        yield (
            f"{name}: the first of {words} epochs is within recipe.warmup_epochs, {recipe.warmup_epochs:g}; "
            "raise strategy.min_epochs, or shorten the warm-up"
        )
    if config.bound_stopping is not None:
        yield (
            f"{name} cannot be used with bound_stopping: the best reward, of a long trial, is no bound for "
            "short ones; leave bound_stopping out"
        )


def read_search_config(source: str | Path, *, overrides: Sequence[str | Override] = ()) -> SearchConfig:
    """Reads a search file to search with it, with `key.path=value` overrides.

    Raises:
        ConfigError: anything in it that is not right, with file and path.
    """
    config = read_yaml(SearchConfig, source, overrides=overrides)
    with naming_origins(SearchConfig, source, overrides=overrides):
        for name in config.reward:
            with blaming(("reward", name), without="reward: "):
                check_names([name])
    return config


def check_networks(config: SearchConfig, *, num_classes: int) -> None:
    """Builds the smallest, the largest and the reference network of the space without memory; draws one.

    Raises:
        SettingError: one of them does not work at a resolution of the recipe or of the timing, or no
            architecture is within the space's limits.
    """
    space = config.space
    candidates = {
        "smallest architecture": space.decode(space.smallest()),
        "largest architecture": space.decode(space.largest()),
        "reference": space.reference,
    }
    resolutions = {*config.recipe.image_sizes, *config.recipe.evaluation_sizes}
    resolutions |= {config.timing.resolution} if config.timing.resolution else set()
    for name, architecture in candidates.items():
        for stage in config.recipe.training_stages():
            try:
                check_resolution(architecture, stage.resolution)
                count(architecture, num_classes=num_classes, resolution=stage.resolution)
            except (ValueError, RuntimeError) as error:
                raise SettingError(
                    ("space",), f"the {name} does not work at {stage.resolution} px: {error}", SIZES
                ) from error
    resolution = config.recipe.last_resolution
    with blaming(("space", "limits"), without="limits: "):
        space.choice_space(num_classes=num_classes, resolution=resolution).sample(np.random.default_rng(0))
