"""Steps after a full training, or with one that stopped."""

from pathlib import Path

from analysis.numbers import counted, percent
from nas.advising.advice import IMAGES, PICTURES, Advice, Step, advice
from nas.training.checkpoints import TrainingFolder
from nas.training.config import FILE, read_training
from nas.training.finished import FinishedTraining, finished_training
from search_spaces.settings.shell_words import path_word
from search_spaces.settings.yaml_files import ConfigError
from trials.log.buckets import place_of
from trials.log.driver_lock import driver_of
from trials.objective import in_words

REPEATS = "repeat-*"  # folders of trainings that differ in their seed


def training_goes_on(folder: str) -> str:
    """Command that goes on with a training that was stopped."""
    return f"nas train --run {path_word(folder)}"


def evaluate_step(folder: str, *, data: str = IMAGES) -> Step:
    """Evaluate the best weights on images that they have not seen."""
    return Step(
        f"nas evaluate {path_word(best_weights(folder))} --data {path_word(data)}",
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
    config, place = read_training(folder), place_of(folder)
    if (driver := driver_of(folder)) is not None:
        step = Step(
            training_goes_on(place), "when that process has ended, if it ended too early", "continues"
        )
        return advice(place, "training", f"running ({driver})", step)
    found = finished_training(folder)
    if found is None:
        done, total = TrainingFolder(folder).shown_epoch(), config.recipe.epochs
        state = f"stopped after {done} of {counted(total, 'epoch')}"
        step = Step(training_goes_on(place), "the training has not ended", "continues")
        return advice(place, "training", state, step)
    steps = [] if config.test is not None else [evaluate_step(place)]
    return advice(place, "training", _state(found), *steps, *use_steps(place))


def use_steps(folder: str) -> tuple[Step, Step]:
    """Use the best weights elsewhere, and on pictures."""
    return (
        Step(
            f"nas export {path_word(folder)} --format onnx -o {path_word(f'{folder}/best.onnx')}",
            "the network with its weights, for ONNX Runtime",
        ),
        Step(
            f"nas predict {path_word(best_weights(folder))} {PICTURES} -o predictions.csv",
            "a class for each picture of a folder",
        ),
    )


def is_training(folder: Path) -> bool:
    """True of a folder in which a training, or repeats of one, were begun."""
    return (folder / FILE).is_file() or any(folder.glob(f"{REPEATS}/{FILE}"))


def _repeats_advice(folder: Path) -> Advice:
    """The first repeat that has not ended, else what to do with the best one."""
    repeats = sorted(path.parent for path in folder.glob(f"{REPEATS}/{FILE}"))
    if not repeats:
        raise ConfigError(f"{place_of(folder)}: no training was begun here")
    found = {each: finished_training(each) for each in repeats}
    ended = {each: figures for each, figures in found.items() if figures is not None}
    for each in repeats:
        if each not in ended:
            return training_advice(each)
    best = max(ended, key=lambda each: ended[each].final_value)
    state = f"{counted(len(ended), 'training')} finished; the best one {_state(ended[best])}"
    return advice(place_of(folder), "training", state, *training_advice(best).steps)


def _state(found: FinishedTraining) -> str:
    on = "minival" if found.test_accuracy is None else "test images"
    return f"finished: {in_words(found.objective)} {percent(found.final_value, digits=1)} on {on}"
