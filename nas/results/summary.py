"""The summary of a search that has ended."""

import statistics
from dataclasses import dataclass

from analysis.finalists import Standing
from analysis.headline import Headline, Interval, headline
from analysis.numbers import finite_or_none
from analysis.rungs import RungAgreement, Savings, rung_agreement, savings
from analysis.trial_rules import baseline_rewards, is_counted
from nas.search.search import SearchResult
from trials.log.run_places import place_of
from trials.objective import Objective


@dataclass(frozen=True)
class FinalistSummary:
    """A finalist's trainings; `low` to `high` is the 95 % interval of the mean reward."""

    trial_id: int  # that selected it
    selected_reward: float
    selected_epochs: int
    repeats: int
    epochs: int  # of each; more than the trial's: its reward does not compare with theirs
    mean_reward: float
    mean_accuracy: float
    mean_objective: float
    low: float | None
    high: float | None
    better_than_next: float | None  # probability


@dataclass(frozen=True)
class RungSummary:
    """Agreement of ranks after `epochs` epochs with those after all (`of`), over some trials.

    Tau is None where one of the rankings has no order, its interval where its spread is unknown.
    """

    epochs: int
    of: int
    kendall_tau: float | None
    low: float | None  # of the 95 % interval
    high: float | None
    trials: int
    promoted: bool  # whether these were promoted for being good, which lowers tau


@dataclass(frozen=True)
class SearchSummary:
    """The end of a search, fields named as the columns.

    Attributes:
        trials: those that count in the budget.
        best_trial_id: the winner, to which the figures up to `uncertain_step_time` belong; all None if no
            trial has completed. Of a finalist, reward, accuracy and step time are means of its trainings.
        trainings: over how many trainings, of `epochs` each.
        words: the same and the intervals, in lines.
        objective: the quantity that is rewarded: accuracy, or another one beside it.
        reward_interval, accuracy_interval, objective_interval: of 95 %; None where it is unknown how
            trainings vary, and of accuracies where another objective is rewarded.
        uncertain_step_time: why the step time is uncertain; None if it is not.
        exhausted: the space ran out before the budget.
        predicted_networks: networks whose predicted step times were compared with measured ones.
        predicted_step_time_error: mean of |predicted / measured - 1|.
        epochs_saved: against whole trainings of all architectures; None where all trials were of one length.
    """

    run: str
    trials: int
    best_trial_id: int | None
    reward: float | None
    accuracy: float | None
    objective: Objective | None
    objective_value: float | None
    step_time_ratio: float | None
    params: int | None
    macs: int | None
    architecture_id: str | None
    trainings: int | None
    epochs: int | None
    words: tuple[str, ...]
    reward_interval: Interval | None
    accuracy_interval: Interval | None
    objective_interval: Interval | None
    uncertain_step_time: str | None
    baseline_trials: int
    baseline_median_reward: float | None
    baseline_best_reward: float | None
    exhausted: bool
    predicted_networks: int
    predicted_step_time_error: float | None
    predicted_step_time_tau: float | None
    finalists: tuple[FinalistSummary, ...]
    rungs: tuple[RungSummary, ...]
    epochs_saved: Savings | None


def search_summary(result: SearchResult) -> SearchSummary:
    """The summary of a search."""
    baseline = baseline_rewards(result.rows)
    best, error = result.best, result.prediction_error
    found = result_headline(result)
    return SearchSummary(
        run=place_of(result.folder),
        trials=sum(map(is_counted, result.rows)),
        best_trial_id=best["trial_id"] if best else None,
        reward=found.reward if found else None,
        accuracy=found.accuracy if found else None,
        objective=found.objective if found else None,
        objective_value=found.objective_value if found else None,
        step_time_ratio=found.step_time_ratio if found else None,
        params=best["params"] if best else None,
        macs=best["macs"] if best else None,
        architecture_id=best["architecture_id"] if best else None,
        trainings=found.trainings if found else None,
        epochs=found.epochs if found else None,
        words=found.lines if found else (),
        reward_interval=found.reward_interval if found else None,
        accuracy_interval=found.accuracy_interval if found else None,
        objective_interval=found.objective_interval if found else None,
        uncertain_step_time=found.uncertain if found else None,
        baseline_trials=len(baseline),
        baseline_median_reward=statistics.median(baseline) if baseline else None,
        baseline_best_reward=max(baseline, default=None),
        exhausted=result.exhausted,
        predicted_networks=error.networks if error else 0,
        predicted_step_time_error=error.mean if error else None,
        predicted_step_time_tau=error.tau if error else None,
        finalists=tuple(map(_finalist, result.standings)),
        rungs=tuple(map(_rung, rung_agreement(result.rows))),
        epochs_saved=savings(result.rows),
    )


def result_headline(result: SearchResult) -> Headline | None:
    """The figures by which the winner of a search is named; None if no trial has completed."""
    if result.best is None:
        return None
    winner = result.best["trial_id"]
    standing = next((each for each in result.standings if each.finalist.trial_id == winner), None)
    return headline(result.best, standing)


def _finalist(standing: Standing) -> FinalistSummary:
    finalist = standing.finalist
    return FinalistSummary(
        trial_id=finalist.trial_id,
        selected_reward=finalist.selected_reward,
        selected_epochs=finalist.selected_epochs,
        repeats=len(finalist.rewards),
        epochs=finalist.epochs,
        mean_reward=finalist.mean,
        mean_accuracy=finalist.mean_accuracy,
        mean_objective=finalist.mean_objective,
        low=standing.low,
        high=standing.high,
        better_than_next=standing.better_than_next,
    )


def _rung(agreement: RungAgreement) -> RungSummary:
    return RungSummary(
        epochs=agreement.epochs,
        of=agreement.of,
        kendall_tau=finite_or_none(agreement.tau.value),
        low=finite_or_none(agreement.tau.low),
        high=finite_or_none(agreement.tau.high),
        trials=agreement.count,
        promoted=agreement.chosen,
    )
