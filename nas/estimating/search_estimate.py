"""Cost of a search on the hardware here before it starts: trials, device-hours, time by devices."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from analysis.intervals import student_t
from nas.estimating.estimated_trials import ImageCounts, TrialBench, TrialCost, drawn_costs, trial_bench
from nas.estimating.figures import HoursOnDevices, SearchEstimate, SecondsRange, TrialSeconds
from nas.search.config import SearchConfig, check_networks, read_search_config
from nas.search.predicted_step_time import open_prediction, searched_space
from search_spaces.networks.provenance import DEFAULT_CLASSES
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.overrides import Override
from search_spaces.settings.setting_errors import SettingError, naming_origins
from trials.devices.device_errors import is_out_of_memory
from trials.executors.local_slots import local_slots
from trials.images.chosen_images import find_images
from trials.images.splits import minival_size, split_indices
from trials.timing.block_fit import Fit, fit_table
from trials.timing.block_table import default_table_path, read_table
from trials.timing.block_times import table_conditions
from trials.training.step import kernels_of_steps

HOUR = 3600.0
ASSUMED = ("devices", "images", "classes")


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Assumptions of a user: numbers of devices to ask about, images and classes that are not there yet."""

    devices: tuple[int, ...] = ()
    images: int | None = None
    classes: int | None = None


def read_assumptions(words: Sequence[str]) -> Assumptions:
    """`devices=64`, `images=1281167`, `classes=1000`; several numbers of devices may be asked about.

    Raises:
        ConfigError: another word, or no whole number.
    """
    found: dict[str, list[int]] = {name: [] for name in ASSUMED}
    for word in words:
        name, equals, text = word.partition("=")
        if name not in ASSUMED or not equals:
            raise ConfigError(f"--assume {word}: expected one of {', '.join(f'{n}=N' for n in ASSUMED)}")
        least = 2 if name == "classes" else 1
        if not text.isdecimal() or not least <= int(text) <= 10**12:
            raise ConfigError(f"--assume {word}: '{text}' given; expected a whole number from {least}")
        found[name].append(int(text))
    for name in ("images", "classes"):
        if len(found[name]) > 1:
            raise ConfigError(f"--assume {name}=…: given {len(found[name])} times; give it once")
    if found["classes"] and not found["images"]:
        raise ConfigError("--assume classes=… needs the number of images, too: --assume images=…")
    return Assumptions(
        devices=tuple(found["devices"]),
        images=next(iter(found["images"]), None),
        classes=next(iter(found["classes"]), None),
    )


def estimate_on_console(
    file: str,
    *,
    overrides: Sequence[str | Override],
    workers: int | None,
    in_process: bool,
    per_device: int,
    assume: Sequence[str],
    console: Console,
) -> SearchEstimate:
    """The estimate of a search file; on a terminal shows what is being timed. Begins and writes nothing.

    Raises:
        ConfigError: the file, its images or the assumptions are not right.
    """
    assumed = read_assumptions(assume)
    config = read_search_config(file, overrides=overrides)
    named = partial(naming_origins, SearchConfig, file, overrides=overrides)
    with named():
        images = image_counts(config, assumed)
    here = devices_here(workers, per_device=per_device, in_process=in_process)
    before = time.perf_counter()
    with named():
        bench, costs, fit = timed_costs(config, images, console=console)
    return summed(
        config,
        bench,
        costs,
        fit=fit,
        here=here,
        devices=assumed.devices,
        file=file,
        seconds=time.perf_counter() - before,
    )


def timed_costs(
    config: SearchConfig, images: ImageCounts, *, console: Console
) -> tuple[TrialBench, list[TrialCost], Fit | None]:
    """Costs of trials of networks of the space, timed here or by a table of block times.

    Raises:
        ConfigError: a network does not work at the recipe's resolution, or does not fit into memory.
    """
    try:
        with console.status("timing steps") as status:

            def show(done: int, total: int) -> None:
                status.update(f"timing steps of network {done + 1} of {total}")

            check_networks(config, num_classes=images.classes)
            with trial_bench(config, images) as bench:
                fit = stored_fit(config, bench)
                space = searched_space(
                    config,
                    open_prediction(config, None, num_classes=images.classes, on_this_device=True),
                    num_classes=images.classes,
                )
                costs = drawn_costs(
                    bench, lambda rng: config.space.decode(space.sample(rng)), fit=fit, on_network=show
                )
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ConfigError(
            "a training step of one of the space's networks does not fit into memory here; try a smaller "
            "recipe.batch_size or recipe.resolution"
        ) from error
    return bench, costs, fit


def image_counts(config: SearchConfig, assumed: Assumptions) -> ImageCounts:
    """Numbers of images to train on and to evaluate on: listed, but not decoded; or as assumed.

    Raises:
        ConfigError: they cannot be found, and nothing is assumed of them.
    """
    data = config.data
    if assumed.images is not None:
        total = round(data.fraction * assumed.images)
        minival_images = minival_size(total) if data.minival is None else round(data.minival * total)
        classes = assumed.classes or DEFAULT_CLASSES
        counts = ImageCounts(total - minival_images, minival_images, classes, assumed=True)
        if min(counts.train, counts.minival) < max(2, classes):
            raise ConfigError(f"--assume images={assumed.images}: too few for {classes:,} classes")
        return counts
    try:
        found = find_images(data)
        train, minival = split_indices(
            found.labels, minival=data.minival, seed=data.split_seed, classes=found.classes
        )
    except ValueError as error:
        raise SettingError(
            ("data", "source"),
            f"{error}\n"
            "Name the images with --set data.source=PATH; or estimate without them, say with "
            "--assume images=1281167 --assume classes=1000",
        ) from error
    return ImageCounts(len(train), len(minival), len(found.classes))


def stored_fit(config: SearchConfig, bench: TrialBench) -> Fit | None:
    """Fit of a table of block times under the search's conditions, here: its own table, or the cache's."""
    if len(bench.stages) > 1:
        return None  # a table holds for one resolution
    conditions = table_conditions(
        config.space,
        config.recipe,
        device_name=bench.device_name,
        precision=bench.precision,
        batch_size=config.recipe.batch_size,
        resolution=bench.largest,
        num_classes=bench.images.classes,
        kernels=kernels_of_steps(bench.device, bench.precision),
    )
    paths = [Path(config.step_time_table)] if config.step_time_table else []
    for path in [*paths, default_table_path(conditions)]:
        try:
            table = read_table(path)
            if not list(table.conditions.differences(conditions)):
                return fit_table(table)
        except ValueError:
            continue  # there is none, or it is of no use here
    return None


def devices_here(workers: int | None, *, per_device: int, in_process: bool) -> int:
    """Number of devices here that so many workers keep busy.

    Raises:
        WorkersError: there are fewer.
    """
    if in_process:
        return 1
    instead = f", or ask about more devices with --assume devices={workers}"
    return math.ceil(len(local_slots(workers, per_device, instead=instead)) / per_device)


def summed(
    config: SearchConfig,
    bench: TrialBench,
    costs: Sequence[TrialCost],
    *,
    fit: Fit | None,
    here: int,
    devices: Sequence[int],
    file: str,
    seconds: float,
) -> SearchEstimate:
    """The search's cost from the costs of trials; `seconds` is what the estimate itself took."""
    # A trial: mean, scatter over networks, and the error of a table's predictions.
    each = [cost.seconds for cost in costs]
    mean, spread = statistics.mean(each), statistics.stdev(each)
    table_error = 2 * fit.error * mean if fit is not None else 0.0
    # The budget's trials, with half of the 95 % interval: none where the budget itself is a time.
    budget, epochs = config.budget, config.recipe.epochs
    if budget.device_seconds is not None:
        trials, search_hours, half = budget.device_seconds / mean, budget.device_seconds / HOUR, 0.0
    else:
        trials = float(budget.trials or math.ceil((budget.epochs or 0) / epochs))
        search_hours = trials * mean / HOUR
        sampling = student_t(len(each) - 1) * spread * math.sqrt(1 / len(each) + 1 / trials)
        half = trials * math.hypot(sampling, table_error) / HOUR
    # The finalists' trainings after it, which scatter as the trials do, and may be longer.
    repeated = config.finalists.trainings if config.finalists else 0
    longer = config.finalist_epochs / epochs
    repeat_seconds = statistics.mean(cost.seconds_of_longer(longer) for cost in costs)
    repeat_hours = repeated * repeat_seconds / HOUR
    total = search_hours + repeat_hours
    half *= total / search_hours
    return SearchEstimate(
        file=file,
        device_name=bench.device_name,
        precision=bench.precision,
        resolution=bench.stages[-1].resolution,
        batch_size=bench.batch_size,
        timed_batch_size=bench.timed_batch_size,
        epochs_per_trial=epochs,
        train_images=bench.images.train,
        minival_images=bench.images.minival,
        num_classes=bench.images.classes,
        images_assumed=bench.images.assumed,
        networks=len(costs),
        slowed_down=bench.slowed_down,
        step_times="a table of block times" if fit is not None else "timed here",
        step_seconds=statistics.mean(cost.step_seconds for cost in costs),
        trial=_trial_seconds(bench.reference, costs),
        strategy=config.strategy.name,
        bound_stopping=config.bound_stopping is not None,
        rungs=tuple(config.rungs),
        trials=trials,
        epochs=trials * epochs,
        repeats=repeated,
        repeat_epochs=config.finalist_epochs,
        search_device_hours=search_hours,
        repeats_device_hours=repeat_hours,
        device_hours=total,
        device_hours_half_width=half,
        devices=tuple(
            HoursOnDevices(
                devices=number,
                here=not i,
                hours=_wall_hours(
                    number, trials, mean, repeated, repeat_seconds, is_time=budget.device_seconds is not None
                ),
                half_width=half / number,
            )
            for i, number in enumerate([here, *devices])
        ),
        estimated_in_seconds=seconds,
    )


def _trial_seconds(reference: TrialCost, costs: Sequence[TrialCost]) -> TrialSeconds:
    def over_networks(seconds: Callable[[TrialCost], float]) -> SecondsRange:
        each = [seconds(cost) for cost in costs]
        return SecondsRange(
            reference=seconds(reference),
            mean=statistics.mean(each),
            smallest=min(each),
            largest=max(each),
        )

    return TrialSeconds(
        build_seconds=over_networks(lambda cost: cost.build_seconds),
        timing_seconds=over_networks(lambda cost: cost.timing_seconds),
        train_seconds=over_networks(lambda cost: cost.train_seconds),
        evaluate_seconds=over_networks(lambda cost: cost.evaluate_seconds),
        seconds=over_networks(lambda cost: cost.seconds),
    )


def _wall_hours(
    devices: int, trials: float, mean: float, repeated: int, repeat_seconds: float, *, is_time: bool
) -> float:
    """Trials go out one by one, so that at the end some devices are idle; the finalists come after."""
    rounds = trials / devices if is_time else math.ceil(trials / devices)
    return (rounds * mean + math.ceil(repeated / devices) * repeat_seconds) / HOUR
