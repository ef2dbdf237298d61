"""Steps after a comparison, or with one that stopped."""

from pathlib import Path

from analysis.numbers import counted
from nas.advising.advice import Advice, Step, advice
from nas.advising.training_steps import use_steps
from nas.comparing.config import read_plan
from nas.comparing.figures import ComparisonFigures, NetworkFigures, comparison_figures
from search_spaces.settings.shell_words import path_word
from trials.log.driver_lock import driver_of
from trials.objective import in_words


def comparison_goes_on(folder: str) -> str:
    """Command that goes on with a comparison that was stopped."""
    return f"nas compare --run {path_word(folder)}"


def comparison_advice(folder: Path) -> Advice:
    """The next steps with a comparison.

    Raises:
        ConfigError: its files do not read.
    """
    found = comparison_figures(read_plan(folder), folder)
    state = f"{found.ended} of {counted(found.total, 'training')}"
    if found.diverged:
        state += f", {found.diverged} diverged"
    shown = Step(f"nas compare {path_word(found.run)}", "accuracies and differences so far")
    if not found.is_complete:
        if (driver := driver_of(folder)) is not None:
            return advice(found.run, "comparison", f"running ({driver}): {state}", shown)
        goes_on = Step(comparison_goes_on(found.run), "trainings are left", "continues")
        return advice(found.run, "comparison", f"stopped: {state}", goes_on, shown)
    return advice(found.run, "comparison", f"finished: {state}", *_finished(found))


def _finished(found: ComparisonFigures) -> list[Step]:
    """More seeds where nothing is sure; else the most accurate network's weights."""
    differences = [each.against_first for each in found.networks if each.against_first is not None]
    steps = []
    if not any(each.is_sure for each in differences):
        seeds = len(found.seeds)
        steps.append(
            Step(
                f"{comparison_goes_on(found.run)} --repeats {2 * seeds}",
                f"with {counted(seeds, 'seed')} no difference is sure",
            )
        )
    steps.append(Step(f"nas compare {path_word(found.run)}", "the comparison's table"))
    trained = [each for each in found.networks if each.trainings]
    if trained:
        best = max(trained, key=_accuracy)
        seed = max(best.trainings, key=lambda each: each.value)
        export, _ = use_steps(seed.run)
        steps.append(Step(export.command, f"{best.name} has the highest mean {in_words(found.objective)}"))
    return steps


def _accuracy(network: NetworkFigures) -> float:
    return network.accuracy.value if network.accuracy is not None else -1.0
