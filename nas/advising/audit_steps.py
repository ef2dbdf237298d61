"""Steps of an audit: to begin one where a run has enough trials, to go on with one that stopped."""

from pathlib import Path

from nas.advising.advice import Step
from nas.advising.recorded_images import is_elsewhere
from nas.search.config import SearchConfig
from nas.search.recorded_config import recorded_config
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.shell_words import path_word
from trials.log.file_names import AUDIT_FOLDER
from trials.log.own_ops_record import trust_words
from trials.log.run_folder import has_log
from trials.log.run_reader import read_run

LEAST_AUDITED = 20  # completed trials: as many as nas audit trains again
EPOCHS = 40  # of its trainings, by default
LONGER = 4  # times the epochs of trials, where these have as many


def audit_steps(run: Path, name: str, config: SearchConfig, *, completed: int) -> list[Step]:
    """Train a sample for longer, or go on with that, or watch it; nothing where it was done.

    Args:
        name: of the run, as people name it.
        completed: trials of the run.
    """
    command, folder = f"nas audit {path_word(name)}", run / AUDIT_FOLDER
    trust = trust_words(run)
    where = "; to be typed where the search was begun" if is_elsewhere(config.data.source) else ""
    if not has_log(folder):
        if completed < LEAST_AUDITED:
            return []
        epochs = config.recipe.epochs
        longer = f" --epochs {LONGER * epochs}" if epochs >= EPOCHS else ""
        reason = "whether short trials rank architectures rightly is not known; this trains some for longer"
        return [Step(f"{command}{longer}{trust}", reason + where)]
    try:
        log, audit = read_run(folder), recorded_config(folder)
    except ConfigError:  # it was stopped while it began
        return [Step(f"{command}{trust}", f"the audit has not ended{where}", "continues")]
    trainings = int(audit.budget.total)
    if log.driver:
        watch = f"nas status {path_word(f'{name}/{AUDIT_FOLDER}')} --watch"
        return [Step(watch, "its audit runs; this shows how it is going", watches=True)]
    if len(log.trials) >= trainings and not log.in_flight:
        return []
    sizes = f" --trials {trainings} --epochs {audit.recipe.epochs}"
    return [Step(f"{command}{sizes}{trust}", f"the audit has not ended{where}", "continues")]
