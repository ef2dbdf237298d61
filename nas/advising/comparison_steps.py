"""Steps after a comparison, or with one that stopped."""

from dataclasses import replace
from pathlib import Path

from analysis.numbers import counted
from nas.advising.advice import Advice, Step, advice
from nas.advising.training_steps import export_weights_steps
from nas.comparing.config import read_plan
from nas.comparing.figures import ComparisonFigures, NetworkFigures, comparison_figures
from search_spaces.settings.shell_words import path_word
from trials.log.driver_lock import driver_of
from trials.objective import in_words

MOST_SEEDS = 12  # with more, differences would become sure that are small beside what they cost


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
            watch = replace(shown, watches=True)
            return advice(found.run, "comparison", f"running ({driver}): {state}", watch)
        goes_on = Step(comparison_goes_on(found.run), "trainings are left", "continues")
        return advice(found.run, "comparison", f"stopped: {state}", goes_on, shown)
    if not _is_sure(found) and len(found.seeds) >= MOST_SEEDS:
        state += f"; no difference was found with {counted(len(found.seeds), 'seed')}"
    return advice(found.run, "comparison", f"finished: {state}", *finished_steps(found))


def _is_sure(found: ComparisonFigures) -> bool:
    return any(each.against_first.is_sure for each in found.networks if each.against_first is not None)


def finished_steps(found: ComparisonFigures) -> list[Step]:
    """More seeds where nothing is sure; else the most accurate network's weights."""
    steps = []
    seeds = len(found.seeds)
    if not _is_sure(found) and seeds < MOST_SEEDS:
        steps.append(
            Step(
                f"{comparison_goes_on(found.run)} --repeats {min(2 * seeds, MOST_SEEDS)}",
                f"with {counted(seeds, 'seed')} no difference is sure",
            )
        )
    steps.append(Step(f"nas compare {path_word(found.run)}", "the comparison's table"))
    trained = [each for each in found.networks if each.trainings]
    if trained:
        best = max(trained, key=_accuracy)
        seed = max(best.trainings, key=lambda each: each.value)
        reason = f"{best.name} has the highest mean {in_words(found.objective)}"
        steps += export_weights_steps(seed.run, reason=reason)
    return steps


def _accuracy(network: NetworkFigures) -> float:
    return network.accuracy.value if network.accuracy is not None else -1.0
