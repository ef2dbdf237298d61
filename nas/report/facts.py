"""Facts of a run that its report is written from: configuration, rows, environments; and words for them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any, cast

import pandas as pd

from analysis.finalists import Standing, finalists, standings
from analysis.frame import read_trials
from analysis.headline import Headline, headline
from analysis.ranking import ranked, reranked
from nas.report.environments import Environment, read_environments
from nas.report.markup import Markup, join, tag
from nas.report.shown_rows import ShownTrial, shown_rows
from nas.results.winner import run_winner
from nas.search.config import SearchConfig
from nas.search.recorded_config import recorded_config
from nas.simulation.compare_strategies import parsed_terms
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.ops import op_facts
from search_spaces.networks.stage_fields import kernel_words
from search_spaces.settings.config_error import ConfigError
from trials.log.file_names import AUDIT_FOLDER, ENVIRONMENT_FOLDER, TRIALS_FILE
from trials.log.row_types import TrialRow
from trials.log.rows import architecture_from_json
from trials.log.run_folder import STARTS, no_trial_yet
from trials.log.run_places import place_of
from trials.objective import Objective, in_words
from trials.reward import REWARDABLE, SHIPPED

# Columns of `records` that a row may lack.
MAY_LACK = (
    "reward", "accuracy", "balanced_accuracy", "objective", "step_time_ratio", "step_seconds", "timing_flag",
)  # fmt: skip
TERM_NAMES = {"step_time_ratio": "step time", "params": "parameters", "macs": "MACs"}


@dataclass(frozen=True)
class RunFacts:
    """A run under one trade-off.

    Attributes:
        trials: all rows; rewards and step times are those under which the report is written.
        audits: rows of longer trainings.
        changed: how the trade-off differs from the search's own, in words; None if it does not.
        device: whose step times these are; None for those of the search.
        winner: its trial; None before the first completed one.
    """

    folder: Path
    config: SearchConfig
    trials: pd.DataFrame
    audits: pd.DataFrame
    environments: tuple[Environment, ...]
    starts: int  # of drivers: after the first one, each means that the search had stopped
    standings: tuple[Standing, ...]
    terms: Mapping[str, float]
    changed: str | None
    device: str | None
    winner: ShownTrial | None
    headline: Headline | None  # the figures by which the winner is named

    @property
    def typed(self) -> str:
        """The run as it is typed in a command, which may go into a shell as it is."""
        return quote(place_of(self.folder))

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.folder.resolve().name

    @property
    def architecture(self) -> Architecture | None:
        """Architecture of the winner."""
        return architecture_from_json(self.winner.architecture) if self.winner else None


def changed_terms(words: Sequence[str], *, recorded: Iterable[str] = ()) -> dict[str, float]:
    """Exponents from `quantity=exponent`, several separated by commas; `none` sets all to 0.

    Args:
        recorded: the terms of the run's own reward, of which this process may not know all.

    Raises:
        ConfigError: a word that is not so, or a quantity that is not measured.
    """
    parts = [part.strip() for word in words for part in word.split(",")]
    zeros = dict.fromkeys([*REWARDABLE, *recorded], 0.0) if "none" in parts else {}
    return {**zeros, **(parsed_terms(parts, recorded=recorded) or {})}


def read_facts(
    run: Path,
    *,
    terms: Mapping[str, float] | None = None,
    device: str | None = None,
    objective: Objective | None = None,
) -> RunFacts:
    """The facts of a run, on request by other exponents, step times of another device, another objective.

    Raises:
        ConfigError: no run, nothing finished, a damaged file, nothing measured on that device, or a term of
            the reward that cannot be computed here.
    """
    config = recorded = recorded_config(run)
    trials = _rows(run)
    # Rewards of the search's own terms stay as they were recorded: a report shows what the search saw.
    changed = []
    if device is not None:
        trials = _on_device(run, trials, device)
        changed.append(f"step times on {device}")
    used = {**config.reward, **(terms or {})}
    if objective is not None and objective != config.objective:
        config = replace(config, objective=objective)
        trials = trials.assign(objective=objective)
    if used != config.reward or config.objective != recorded.objective:
        changed.append(f"reward {formula(used, config.objective)}")
    if changed:
        trials = _reranked(run, trials, used)
    rows = records(trials)
    winner = _best_row(trials) if changed else _winner_row(run, trials, rows)
    ranked_finalists = tuple(standings(finalists(rows)))
    return RunFacts(
        folder=run,
        config=config,
        trials=trials,
        audits=_audits(run),
        environments=read_environments(run),
        standings=ranked_finalists,
        starts=max(len(list((run / ENVIRONMENT_FOLDER).glob(STARTS))), 1),
        terms=used,
        changed=", ".join(changed) or None,
        device=device,
        winner=winner,
        headline=None if winner is None else _headline(winner.trial_id, rows, ranked_finalists),
    )


def won_by_trainings(facts: RunFacts) -> RunFacts:
    """The facts with the best of the finalists as winner, by their trainings under the facts' own reward.

    Unchanged where no finalist was trained again. Runs are compared by one rule, also where a strategy
    recommended another one, or where another trade-off's best single trial has a higher reward by luck.
    """
    if not facts.standings:
        return facts
    trial_id = facts.standings[0].finalist.trial_id
    (winner,) = shown_rows(ShownTrial, facts.trials[facts.trials["trial_id"] == trial_id])
    found = _headline(trial_id, records(facts.trials), facts.standings)
    return replace(facts, winner=winner, headline=found)


def _headline(trial_id: int, rows: Iterable[TrialRow], ranked_finalists: Iterable[Standing]) -> Headline:
    row = next(row for row in rows if row["trial_id"] == trial_id)
    own = (standing for standing in ranked_finalists if standing.finalist.trial_id == trial_id)
    return headline(row, next(own, None))


def _reranked(run: Path, trials: pd.DataFrame, terms: Mapping[str, float]) -> pd.DataFrame:
    """The rows with rewards under these terms; what has no weight need not be known."""
    weighted = {name: exponent for name, exponent in terms.items() if exponent}
    try:
        return reranked(trials, weighted)
    except ValueError as error:
        own = [name for name in weighted if name not in SHIPPED]
        left_out = f"; or leave it out:  --reward {own[0]}=0" if own else ""
        raise ConfigError(f"{run}: {error}{left_out}") from None


def _rows(run: Path) -> pd.DataFrame:
    try:
        return read_trials(run)
    except FileNotFoundError:
        raise no_trial_yet(run) from None
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _audits(run: Path) -> pd.DataFrame:
    """Rows of longer trainings; none where there has been no audit.

    Raises:
        ConfigError: they are damaged.
    """
    try:
        return read_trials(run / AUDIT_FOLDER)
    except FileNotFoundError:
        return read_trials(run)[:0]
    except ValueError:
        raise ConfigError(
            f"{run}/{AUDIT_FOLDER}/{TRIALS_FILE}: damaged; nas audit with the same options writes it again"
        ) from None


def _on_device(run: Path, trials: pd.DataFrame, device: str) -> pd.DataFrame:
    """The rows of architectures that were measured on another device, with their step times there."""
    from nas.measuring.retarget import retargeted

    measured = {trial.architecture_id: trial.step_time_ratio for trial in retargeted(run, device)}
    known = trials[trials["architecture_id"].isin(list(measured))]
    there = [measured[str(name)] for name in known["architecture_id"]]
    changed = known.assign(step_time_ratio=pd.array(there, dtype="float64").to_numpy(), timing_device=device)
    return changed[changed["step_time_ratio"].notna()]


def _best_row(trials: pd.DataFrame) -> ShownTrial | None:
    """The trial of the best reward: the finalists were chosen by another trade-off."""
    return next(iter(shown_rows(ShownTrial, ranked(trials, 1))), None)


def _winner_row(run: Path, trials: pd.DataFrame, rows: list[TrialRow]) -> ShownTrial | None:
    chosen = run_winner(run, rows)
    if chosen is None:
        return None
    (row,) = shown_rows(ShownTrial, trials[trials["trial_id"] == chosen.trial_id])
    return row


def records(trials: pd.DataFrame) -> list[TrialRow]:
    """Plain rows of the columns that decide the winner, are its figures, or compare rungs."""
    names = [
        "trial_id", "purpose", "status", "choices", "reward", "accuracy", "epochs", "continues",
        "minival_accuracy", "step_time_ratio", "step_seconds", "timing_flag",
        "objective", "balanced_accuracy", "minival_balanced_accuracy",
    ]  # fmt: skip
    known = trials.loc[trials["choices"].notna(), names]
    rows = [{str(key): value for key, value in row.items()} for row in known.to_dict("records")]
    for row in rows:
        row["continues"] = None if pd.isna(row["continues"]) else int(row["continues"])
        for name in MAY_LACK:
            row[name] = None if pd.isna(row[name]) else row[name]
    return cast(list[TrialRow], rows)


# ---------------------------------------------------------------------- in words


def formula(terms: Mapping[str, float], objective: Objective) -> str:
    """The reward as it is calculated, as plain text."""
    powers = [f"{TERM_NAMES.get(name, name)}^{power:g}" for name, power in terms.items() if power]
    return " × ".join([in_words(objective), *powers])


def formula_markup(terms: Mapping[str, float], objective: Objective) -> Markup:
    """The reward as it is calculated, with raised exponents."""
    parts: list[Any] = [in_words(objective)]
    for name, power in terms.items():
        if power:
            raised = f"{power:g}".replace("-", "\N{MINUS SIGN}")
            parts += [" × ", TERM_NAMES.get(name, name), tag("sup", raised)]
    return join(parts)


def stage_words(stage: Stage) -> str:
    """A stage in a few characters: Fused k3 e4 48 ×2."""
    if not stage.layers:
        return "absent"
    op, squeeze = op_facts(stage.op).name, " se" if stage.se_ratio else ""
    activation = f" {stage.activation}" if stage.activation else ""
    kernel = kernel_words(stage.kernel_size, stage.start_kernel_size)
    return (
        f"{op} k{kernel} s{stage.stride} e{stage.expansion_ratio} {stage.channels}"
        f"{squeeze}{activation} ×{stage.layers}"
    )


def architecture_words(text: str) -> str:
    """An architecture on a line for each stage."""
    architecture = architecture_from_json(text)
    return "\n".join(f"{i}  {stage_words(stage)}" for i, stage in enumerate(architecture.stages, start=1))
