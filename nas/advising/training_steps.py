"""Steps after a full training, or with one that stopped."""

from dataclasses import replace
from pathlib import Path

from analysis.numbers import counted, percent
from nas.advising.advice import IMAGES, LICENSE, PICTURES, REPOSITORY, Advice, Step, advice
from nas.advising.recorded_images import is_elsewhere, where_images_are
from nas.training.checkpoints import TrainingFolder
from nas.training.config import FILE, TrainingConfig, read_training
from nas.training.finished import FinishedTraining, finished_training
from nas.training.repeats import FILE as REPEATS_FILE
from nas.training.repeats import folders_of_repeats, read_repeats
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.ops import is_own_op
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.shell_words import path_word, set_words
from trials.log.driver_lock import driver_of
from trials.log.run_places import place_of
from trials.objective import in_words

BUILDING = ("train", "evaluate", "export", "predict", "push")  # commands that build the network
UNRECORDED = (
    "an earlier version has not recorded how many repeats were asked for; those that are left go on with the "
    "command that began them"
)


def training_goes_on(folder: str, *, data: str | None = None) -> str:
    """Command that goes on with a training that was stopped; `data`: its images, recorded elsewhere."""
    moved = " " + set_words("data.source", IMAGES) if data is not None and is_elsewhere(data) else ""
    return f"nas train --run {path_word(folder)}{moved}"


def evaluate_step(folder: str) -> Step:
    """Evaluate the best weights on images that they have not seen."""
    return Step(
        f"nas evaluate {path_word(best_weights(folder))} --data {path_word(IMAGES)}",
        "minival has chosen these weights: images that they have not seen tell their accuracy",
    )


def best_weights(folder: str) -> str:
    """The file of a training's best weights."""
    return f"{folder}/weights/best.safetensors"


def training_advice(folder: Path) -> Advice:
    """The next steps with a training, or with trainings that differ in their seed.

    Raises:
        ConfigError: its files do not read.
    """
    if not (folder / FILE).is_file():
        return _repeats_advice(folder)
    config = read_training(folder)
    return _trusting(_of_one_training(folder, config), config.architecture)


def _trusting(found: Advice, architecture: Architecture) -> Advice:
    """The same with --trust in commands that build a network of the user's own ops."""
    packages = sorted({stage.op.partition(".")[0].partition(":")[0] for stage in own_stages(architecture)})
    words = "".join(f" --trust {package}" for package in packages)

    def with_trust(step: Step) -> Step:
        builds = step.command.split()[1] in BUILDING
        return replace(step, command=step.command + words) if builds else step

    return replace(
        found, steps=tuple(map(with_trust, found.steps)), notes=tuple(map(with_trust, found.notes))
    )


def own_stages(architecture: Architecture) -> list[Stage]:
    """The stages of the user's own ops."""
    return [stage for stage in architecture.stages if is_own_op(stage.op)]


def _of_one_training(folder: Path, config: TrainingConfig) -> Advice:
    place = place_of(folder)
    command, where = training_goes_on(place, data=config.data.source), where_images_are(config.data.source)
    if (driver := driver_of(folder)) is not None:
        return _running(place, driver, command)
    found = finished_training(folder)
    if found is None:
        done, total = TrainingFolder(folder).shown_epoch(), config.recipe.epochs
        state = f"stopped after {done} of {counted(total, 'epoch')}"
        step = Step(command, f"the training has not ended{where}", "continues")
        return advice(place, "training", state, step)
    steps = [] if config.test is not None else [evaluate_step(place)]
    return advice(place, "training", _state(found), *steps, *use_steps(place), hand_on_step(place))


def _running(place: str, driver: str, goes_on: str) -> Advice:
    """The step of looking again later: the same command would be refused now."""
    again = Step(f"nas next {path_word(place)}", "it runs; later this says what is to be done", watches=True)
    note = Step(goes_on, "when that process has ended, if it ended too early", "continues")
    return advice(place, "training", f"running ({driver})", again, notes=(note,))


def use_steps(folder: str) -> list[Step]:
    """Use the best weights elsewhere, and on pictures."""
    predict = Step(
        f"nas predict {path_word(best_weights(folder))} {PICTURES} -o predictions.csv",
        "a class for each picture of a folder",
    )
    return [*export_weights_steps(folder), predict]


def hand_on_step(folder: str) -> Step:
    """Hand the weights on with their card."""
    return Step(
        f"nas push {path_word(folder)} {REPOSITORY} --license {LICENSE} --dry-run",
        "weights for others, with all figures of this training on a card",
        "shows the card; without --dry-run it is pushed",
    )


def export_weights_steps(
    folder: str, *, reason: str = "the network with its weights, for ONNX Runtime"
) -> list[Step]:
    """Write the network with its best weights; nothing where that was done."""
    file = f"{folder}/best.onnx"
    if Path(file).is_file():
        return []
    return [Step(f"nas export {path_word(folder)} --format onnx -o {path_word(file)}", reason)]


def is_training(folder: Path) -> bool:
    """True of a folder in which a training, or repeats of one, were begun."""
    return any((folder / name).is_file() for name in (FILE, REPEATS_FILE)) or bool(folders_of_repeats(folder))


def driver_within(folder: Path) -> str | None:
    """The driver of a run, of a training or of one of its repeats; None if nobody works on it."""
    drivers = map(driver_of, (folder, *folders_of_repeats(folder)))
    return next((driver for driver in drivers if driver is not None), None)


def _repeats_advice(folder: Path) -> Advice:
    """All repeats go on by one command until each has ended; then what to do with the best one."""
    begun, repeats, place = read_repeats(folder), folders_of_repeats(folder), place_of(folder)
    if begun is None and not repeats:
        raise ConfigError(f"{place}: no training was begun here")
    found = {each: finished_training(each) for each in repeats}
    ended = {each: figures for each, figures in found.items() if figures is not None}
    if begun is None and (left := [each for each in repeats if each not in ended]):
        first = training_advice(left[0])
        return replace(first, state=f"{left[0].name} {first.state}; {UNRECORDED}")
    if begun is not None and len(ended) < begun.repeats:
        command = begun.command(folder)
        if (driver := driver_within(folder)) is not None:
            return _running(place, driver, command)
        step = Step(command, "repeats are left; to be typed in the folder where they were begun", "continues")
        state = f"stopped: {len(ended)} of {counted(begun.repeats, 'training')} finished"
        return advice(place, "training", state, step)
    best = max(ended, key=lambda each: ended[each].final_value)
    unrecorded = "" if begun is not None else f" ({UNRECORDED})"
    found_best = training_advice(best)
    state = f"{counted(len(ended), 'training')} finished{unrecorded}; the best one {_state(ended[best])}"
    return advice(place, "training", state, *found_best.steps, notes=found_best.notes)


def _state(found: FinishedTraining) -> str:
    on = "minival" if found.test_accuracy is None else "test images"
    return f"finished: {in_words(found.objective)} {percent(found.final_value, digits=1)} on {on}"
