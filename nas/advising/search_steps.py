"""Steps after a search, or while it runs: each with its reason and its command."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.numbers import counted, percent
from analysis.trial_rules import may_win
from nas.advising.advice import IMAGES, Advice, Step, advice
from nas.advising.audit_steps import audit_steps
from nas.advising.recorded_images import images_of, is_elsewhere, where_images_are
from nas.advising.training_steps import training_advice
from nas.measuring.retarget import ratios_by_device
from nas.results.status import RunStatus, run_status
from nas.search.best_file import architecture_of
from nas.search.config import SearchConfig
from nas.search.recorded_config import recorded_config
from nas.training.config import FILE as TRAINING_FILE
from nas.training.config import read_training
from nas.training.repeats import REPEATS
from nas.training.suited_recipe import training_command
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.shell_words import path_word, set_words
from search_spaces.settings.yaml_files import read_yaml
from trials.log.continuing import continue_command
from trials.log.file_names import BEST_FILE, SEARCH_FILE
from trials.log.own_ops_record import trust_words
from trials.log.row_types import TrialRow, measured
from trials.log.run_reader import read_run
from trials.objective import Objective, in_words

FEW_TRIALS = 10  # of the strategy's own choice: with fewer a search is little more than its random beginning
MANY = 0.2  # share of trials that crashed, or whose step times are uncertain
MOST_TRAININGS = 100  # that are looked at for one of the winner
WINNER = "winner.yaml"  # file of an architecture, in the folder where commands are typed
GROWTH = 3  # of the budget of a search that was too short


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Trials of a run by what speaks for or against its result."""

    ended: int
    crashed: int
    completed: int
    uncertain: int  # completed ones whose step time is flagged
    own: int  # completed ones that the strategy chose, after the random beginning


def search_advice(run: Path) -> Advice:
    """The next steps with a run.

    Raises:
        ConfigError: the folder is no run, or it does not read.
    """
    return advice_of(run, run_status(run), recorded_config(run), read_run(run).trials)


def advice_of(run: Path, found: RunStatus, config: SearchConfig, rows: Mapping[int, TrialRow]) -> Advice:
    """The next steps with a run of this state, with these rows by trial."""
    counts = _counts(rows.values())
    steps = [*_repair_steps(found), *_goes_on_steps(found, config)]
    if found.state == "finished" and not counts.completed:
        reason = "no trial has completed: do the networks suit the images and the limits?"
        reason = _crashes(found, counts) or reason
        steps.append(_doctor_step(found, config, reason))
    if found.best is not None and found.state == "finished":
        if counts.own < FEW_TRIALS and found.budget.spent >= found.budget.total:  # else there are no others
            steps.append(_longer(found, config, counts))
        steps += _winner_steps(run, found, config, rows[found.best.trial_id], counts)
    elif found.best is not None and found.best.trial_id in rows:
        best = architecture_of(rows[found.best.trial_id])
        steps += _export_steps(found.run, best, reason="the best architecture so far, as a file")
    notes = [] if found.state == "running" else _notes(run, found, config, counts)
    return advice(found.run, "search", _state(found), *steps, notes=tuple(notes))


def progress_steps(found: RunStatus, *, watched: bool = False) -> list[Step]:
    """Follow a search that runs (unless it is `watched`), or go on with one that stopped."""
    if found.state == "running":
        if watched:
            return []
        command = f"nas status {path_word(found.run)} --watch"
        return [Step(command, "it runs; this shows how it is going", watches=True)]
    if found.state == "stopped":
        again = f", {found.in_flight} in flight will run again" if found.in_flight else ""
        return [Step(continue_command(found.run), f"the search has not ended{again}", "continues")]
    return []


def export_step(run: str, *, reason: str = "the winner as a file of its own", file: str = WINNER) -> Step:
    """Write the winner's architecture."""
    return Step(f"nas export {path_word(run)} -o {path_word(file)}{trust_words(run)}", reason)


def describe_step(run: str) -> Step:
    """Show the winner's stages."""
    file = path_word(f"{run}/{BEST_FILE}")
    return Step(f"nas describe {file}{trust_words(run)}", "the winner's stages, parameters and MACs")


def train_step(
    run: str, winner: Architecture, *, resolution: int, data: str, objective: Objective, class_weights: str
) -> Step:
    """Train the winner in full, as the search trained it; `resolution` (pixels) is that of its trials."""
    command = training_command(
        f"{run}/{BEST_FILE}",
        winner,
        resolution=resolution,
        data=data,
        objective=objective,
        class_weights=class_weights,
    )
    reason = "the winner was trained for a short trial only; this trains it in full"
    return Step(f"{command}{trust_words(run)}", reason)


def report_step(run: str) -> Step:
    """Show the report."""
    return Step(f"nas report {path_word(run)} --open", "winner, Pareto front, progress and noise on one page")


def _goes_on_steps(found: RunStatus, config: SearchConfig) -> list[Step]:
    """The steps of `progress_steps`, with a placeholder for the images' path where they lie elsewhere."""
    where = where_images_are(config.data.source)
    return [
        replace(step, command=step.command + _moved(config), reason=step.reason + where)
        if where and not step.watches
        else step
        for step in progress_steps(found)
    ]


def _moved(config: SearchConfig) -> str:
    """The option of a command that goes on with a search whose images lie elsewhere; else empty."""
    source = config.data.source
    return f" {set_words('data.source', IMAGES)}" if is_elsewhere(source) else ""


def _repair_steps(found: RunStatus) -> list[Step]:
    if not found.unreadable or found.state == "running":
        return []
    verify = f"nas verify {path_word(found.run)} --repair"
    reason = f"{counted(len(found.unreadable), 'file')} of its log: damaged"
    return [Step(verify, reason, "moves what is damaged, deletes nothing")]


def _doctor_step(found: RunStatus, config: SearchConfig, reason: str) -> Step:
    source = config.data.source
    file = path_word(f"{found.run}/{SEARCH_FILE}")
    command = f"nas doctor {path_word(images_of(source))} --search {file}"
    return Step(command, reason + where_images_are(source))


def _notes(run: Path, found: RunStatus, config: SearchConfig, counts: Counts) -> list[Step]:
    """Remarks that speak against the results. They stay true, so that no step waits for them."""
    notes = []
    if (counts.completed or found.state == "stopped") and (reason := _crashes(found, counts)):
        notes.append(_doctor_step(found, config, reason))
    if counts.uncertain > MANY * counts.completed:
        share = percent(counts.uncertain / counts.completed)
        notes.append(Step("nas doctor", f"{share} of step times are uncertain: what disturbs timing here?"))
    best = found.best
    if found.state == "finished" and best is not None and best.uncertain_step_time:
        again = ratios_by_device(run).values()
        if not any(best.architecture_id in ratios for ratios in again):
            reason = f"the winner's step time is {best.uncertain_step_time}"
            command = f"nas measure --run {path_word(found.run)}{trust_words(found.run)}"
            notes.append(Step(command, reason))
    return notes


def _crashes(found: RunStatus, counts: Counts) -> str | None:
    """A sentence where many trials crashed."""
    if counts.crashed <= MANY * counts.ended:
        return None
    kinds = ", ".join(sorted(found.failure_kind))
    return f"{counts.crashed} of {counted(counts.ended, 'trial')} crashed ({kinds})"


def _longer(found: RunStatus, config: SearchConfig, counts: Counts) -> Step:
    budget = found.budget
    unit, total = budget.unit.replace("-", "_"), max(budget.total, budget.spent) * GROWTH
    reason = f"the strategy itself has chosen {counts.own} completed trials only; this goes on with more"
    return Step(
        f"{continue_command(found.run)} --set budget.{unit}={total:.0f}{_moved(config)}",
        reason + where_images_are(config.data.source),
        "continues",
    )


def _winner_steps(
    run: Path, found: RunStatus, config: SearchConfig, winner: TrialRow, counts: Counts
) -> Sequence[Step]:
    """From the winner to weights; then whether short trials rank rightly."""
    network, resolution = architecture_of(winner), int(measured(winner, "resolution"))
    trained = _training_of(network, beside=run)
    steps: list[Step] = []
    if trained is None:
        source = config.data.source
        step = train_step(
            found.run,
            network,
            resolution=resolution,
            data=images_of(source),
            objective=config.objective,
            class_weights=config.recipe.class_weights,
        )
        steps.append(replace(step, reason=step.reason + where_images_are(source)))
    else:
        steps += training_advice(trained).steps
    steps += audit_steps(run, found.run, config, completed=counts.completed)
    return [*steps, *_export_steps(found.run, network), report_step(found.run)]


def _export_steps(
    run: str, network: Architecture, *, reason: str = "the winner as a file of its own"
) -> list[Step]:
    """Write the architecture, under another name where another has the usual one; nothing if it is there."""
    for name in (WINNER, f"{Path(run).name}-{WINNER}"):
        if not os.path.lexists(name):
            return [export_step(run, reason=reason, file=name)]
        with suppress(ConfigError):
            if read_yaml(Architecture, name).architecture_id == network.architecture_id:
                return []
    return []


def _training_of(network: Architecture, *, beside: Path) -> Path | None:
    """The newest training of this architecture, in `train` here or beside the run; None if there is none.

    Of repeats the folder of all.
    """
    patterns = (f"*/{TRAINING_FILE}", f"*/{REPEATS}/{TRAINING_FILE}")
    places = (Path("train"), beside.parent)
    files = {file for place in places for pattern in patterns for file in place.glob(pattern)}
    newest = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
    for file in newest[:MOST_TRAININGS]:
        try:
            found = read_training(file.parent).architecture.architecture_id
        except ConfigError:
            continue
        if found == network.architecture_id:
            return file.parent if file.parent.parent in places else file.parent.parent
    return None


def _counts(rows: Iterable[TrialRow]) -> Counts:
    rows = list(rows)
    completed = [row for row in rows if may_win(row)]
    return Counts(
        ended=len(rows),
        crashed=sum(row["status"] == "crashed" for row in rows),
        completed=len(completed),
        uncertain=sum(bool(row["timing_flag"]) for row in completed),
        own=sum(row["purpose"] == "search" for row in completed),
    )


def _state(found: RunStatus) -> str:
    """The state in a sentence."""
    budget = found.budget
    text = f"{found.state}: {budget.spent:,.0f} of {budget.total:,.0f} {budget.unit}"
    if found.best is not None:
        best = found.best
        value = f"{in_words(best.objective)} {best.objective_value:.4f}"
        text += f", best reward {best.reward:.4f} (trial {best.trial_id}, {value})"
    return text
