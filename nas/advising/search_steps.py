"""Steps after a search, or while it runs: each with its reason and its command."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.numbers import counted, percent
from analysis.trial_rules import may_win
from nas.advising.advice import Advice, Step, advice
from nas.advising.training_steps import training_advice
from nas.results.status import RunStatus, run_status
from nas.search.best_file import architecture_of
from nas.search.config import SearchConfig
from nas.search.recorded_config import recorded_config
from nas.training.config import FILE as TRAINING_FILE
from nas.training.config import read_training
from nas.training.suited_recipe import training_command
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.shell_words import path_word
from search_spaces.settings.yaml_files import ConfigError
from trials.log.continuing import continue_command
from trials.log.file_names import AUDIT_FOLDER, BEST_FILE, SEARCH_FILE
from trials.log.row_types import TrialRow, measured
from trials.log.run_folder import has_log
from trials.log.run_reader import read_run
from trials.objective import Objective, in_words

FEW_TRIALS = 10  # of the strategy's own choice: with fewer a search is little more than its random beginning
MANY = 0.2  # share of trials that crashed, or whose step times are uncertain
LEAST_AUDITED = 20  # completed trials: as many as nas audit trains again
MOST_TRAININGS = 100  # that are looked at for one of the winner
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
    steps = [*_health_steps(found, config, counts), *progress_steps(found)]
    if found.best is not None and found.state == "finished":
        if counts.own < FEW_TRIALS and found.budget.spent >= found.budget.total:  # else there are no others
            steps.append(_longer(found, counts))
        steps += _winner_steps(run, found, config, rows[found.best.trial_id], counts)
    elif found.best is not None:
        steps.append(export_step(found.run, reason="the best architecture so far, as a file"))
    return advice(found.run, "search", _state(found), *steps)


def progress_steps(found: RunStatus, *, watched: bool = False) -> list[Step]:
    """Follow a search that runs (unless it is `watched`), or go on with one that stopped."""
    if found.state == "running":
        if watched:
            return []
        return [Step(f"nas status {path_word(found.run)} --watch", "it runs; this shows how it is going")]
    if found.state == "stopped":
        again = f", {found.in_flight} in flight will run again" if found.in_flight else ""
        return [Step(continue_command(found.run), f"the search has not ended{again}", "continues")]
    return []


def export_step(run: str, *, reason: str = "the winner as a file of its own") -> Step:
    """Write the winner's architecture."""
    return Step(f"nas export {path_word(run)} -o winner.yaml", reason)


def describe_step(run: str) -> Step:
    """Show the winner's stages."""
    return Step(f"nas describe {path_word(f'{run}/{BEST_FILE}')}", "the winner's stages, parameters and MACs")


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
    return Step(command, "the winner was trained for a short trial only; this trains it in full")


def report_step(run: str) -> Step:
    """Show the report."""
    return Step(f"nas report {path_word(run)} --open", "winner, Pareto front, progress and noise on one page")


def _health_steps(found: RunStatus, config: SearchConfig, counts: Counts) -> Sequence[Step]:
    """What has to be looked at before anything else is worth its time."""
    run = path_word(found.run)
    steps = []
    if found.unreadable and found.state != "running":
        damaged = counted(len(found.unreadable), "file")
        verify = f"nas verify {run} --repair"
        steps.append(Step(verify, f"{damaged} of its log: damaged", "moves what is damaged, deletes nothing"))
    file = path_word(f"{found.run}/{SEARCH_FILE}")
    if counts.crashed > MANY * counts.ended:
        kinds = ", ".join(sorted(found.failure_kind))
        reason = f"{counts.crashed} of {counted(counts.ended, 'trial')} crashed ({kinds})"
        steps.append(Step(f"nas doctor {path_word(config.data.source)} --search {file}", reason))
    elif found.state == "finished" and not counts.completed:
        reason = "no trial has completed: do the networks suit the images and the limits?"
        steps.append(Step(f"nas doctor {path_word(config.data.source)} --search {file}", reason))
    if counts.uncertain > MANY * counts.completed:
        share = percent(counts.uncertain / counts.completed)
        steps.append(Step("nas doctor", f"{share} of step times are uncertain: what disturbs timing here?"))
    if found.state == "finished" and found.best is not None and found.best.uncertain_step_time:
        steps.append(
            Step(f"nas measure --run {run}", f"the winner's step time is {found.best.uncertain_step_time}")
        )
    return steps


def _longer(found: RunStatus, counts: Counts) -> Step:
    budget = found.budget
    unit, total = budget.unit.replace("-", "_"), max(budget.total, budget.spent) * GROWTH
    return Step(
        f"{continue_command(found.run)} --set budget.{unit}={total:.0f}",
        f"the strategy itself has chosen {counts.own} completed trials only; this goes on with more",
        "continues",
    )


def _winner_steps(
    run: Path, found: RunStatus, config: SearchConfig, winner: TrialRow, counts: Counts
) -> Sequence[Step]:
    """From the winner to weights; then whether short trials rank rightly."""
    network, resolution = architecture_of(winner), int(measured(winner, "resolution"))
    trained = _training_of(network, beside=run)
    steps = []
    if trained is None:
        steps.append(
            train_step(
                found.run,
                network,
                resolution=resolution,
                data=config.data.source,
                objective=config.objective,
                class_weights=config.recipe.class_weights,
            )
        )
    else:
        steps += training_advice(trained).steps
    if counts.completed >= LEAST_AUDITED and not has_log(run / AUDIT_FOLDER):
        reason = "whether short trials rank architectures rightly is not known; this trains some for longer"
        steps.append(Step(f"nas audit {path_word(found.run)}", reason))
    return [*steps, export_step(found.run), report_step(found.run)]


def _training_of(network: Architecture, *, beside: Path) -> Path | None:
    """The newest training of this architecture, in `train` here or beside the run; None if there is none."""
    files = {*Path("train").glob(f"*/{TRAINING_FILE}"), *beside.parent.glob(f"*/{TRAINING_FILE}")}
    newest = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
    for file in newest[:MOST_TRAININGS]:
        try:
            found = read_training(file.parent).architecture.architecture_id
        except ConfigError:
            continue
        if found == network.architecture_id:
            return file.parent
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
