"""Figures of several runs side by side, as the page shows and `nas report --json` prints them."""

from dataclasses import dataclass

from analysis.intervals import Interval
from trials.objective import Objective


@dataclass(frozen=True, kw_only=True)
class WinnerFigures:
    """The network that a run has found best, by the reward of the comparison.

    Attributes:
        trainings: trainings as a finalist, over which the reward is a mean; 1 where one trial selected it.
        is_repeated: these are trainings with other seeds; else it is the one trial that selected it.
        is_longer: they are longer than trials, so that no trial's reward compares with this one.
    """

    trial_id: int
    reward: Interval
    objective_value: float  # 0-1
    step_time_ratio: float
    params: int
    macs: int
    trainings: int
    is_repeated: bool
    is_longer: bool
    epochs: int  # of each training


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """One run of a comparison.

    Attributes:
        label: as the page names it: a letter for equal settings, and a number where several runs have them.
        apart: why it does not compare with the first run; then its rewards are its own, and nothing is
            computed from them together with others.
        rescored: its rewards were computed again, by the reward of the comparison.
        trials: that the budget counts.
        device_seconds: of these.
        best_at_trials: the best reward of one trial after as many trials as all runs have.
        best_at_seconds: after as much device time as all runs have spent.
        winner: None before the first completed trial.
    """

    label: str
    run: str
    strategy: str
    seed: int
    apart: tuple[str, ...]
    rescored: bool
    trials: int
    device_seconds: float
    best: float | None
    best_at_trials: float | None
    best_at_seconds: float | None
    winner: WinnerFigures | None


@dataclass(frozen=True, kw_only=True)
class DifferenceFigures:
    """A difference between runs of other settings and those of the first run's.

    Attributes:
        label: the letter of the settings; `against` is that of the first run's.
        measure: what is compared, in words.
        difference: between means over runs, or over trainings of two networks.
        counts: runs or trainings on both sides, the first run's last.
        p_value: of Welch's test of this difference alone; None where nothing tells how values vary.
        is_sure: by Holm's correction over all differences that were tested.
        note: why it was not tested, or what it says and what it does not.
    """

    label: str
    against: str
    measure: str
    difference: Interval
    counts: tuple[int, int]
    p_value: float | None
    is_sure: bool
    note: str


@dataclass(frozen=True, kw_only=True)
class SideBySideFigures:
    """Several runs compared.

    Attributes:
        reward: exponents by quantity, the first run's or those that were asked for.
        at_trials: number of trials that all compared runs have; None where only one compares.
        at_seconds: device time that all compared runs have spent.
        significance: bound of the probability of one false "sure" or more.
        cautions: sentences about what the comparison does not tell.
        settings: settings of the search files that differ between runs.
    """

    report: str
    objective: Objective
    reward: dict[str, float]
    device: str | None
    at_trials: int | None
    at_seconds: float | None
    significance: float
    runs: tuple[RunFigures, ...]
    differences: tuple[DifferenceFigures, ...]
    cautions: tuple[str, ...]
    settings: tuple[str, ...]
