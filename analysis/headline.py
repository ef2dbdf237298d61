"""The figures by which a winner is named: means of its trainings as a finalist, else its one trial's."""

from dataclasses import dataclass
from statistics import fmean

from analysis.finalists import Standing
from analysis.numbers import counted
from trials.log.row_types import TrialRow, measured, measured_objective
from trials.objective import ACCURACY, Objective, figures_in_words, in_words, name_of

Interval = tuple[float, float]  # 95 %


@dataclass(frozen=True)
class Headline:
    """A winner's figures. The trial that selected a finalist is in none of them.

    Attributes:
        accuracy: also where another objective is rewarded.
        objective_value: of the quantity that the search rewards, which `objective` names.
        trainings: number of trainings over which reward, accuracy and objective are means.
        epochs: of each of them.
        is_repeated: these are trainings of a finalist; else it is the one trial that wins.
        is_longer: they are longer than trials, so that no trial's figures compare with these.
        reward_interval: None where the spread between trainings is unknown.
        uncertain: why the step time is uncertain; None if it is not.
    """

    trial_id: int
    reward: float
    accuracy: float
    objective: Objective
    objective_value: float
    step_time_ratio: float
    step_seconds: float | None
    epochs: int
    trainings: int = 1
    is_repeated: bool = False
    is_longer: bool = False
    reward_interval: Interval | None = None
    objective_interval: Interval | None = None
    uncertain: str | None = None

    @property
    def accuracy_interval(self) -> Interval | None:
        """The 95 % interval of the accuracy; None where another objective is rewarded."""
        return self.objective_interval if self.objective == ACCURACY else None

    @property
    def objective_words(self) -> str:
        """The objective and, where it is another one, the accuracy beside it."""
        return figures_in_words(self.objective, self.objective_value, self.accuracy)

    @property
    def basis(self) -> str:
        """The trainings that the figures come from, in words."""
        if not self.is_repeated:
            return f"of one training{self._length}"
        if self.is_longer:
            of = counted(self.trainings, "training") + self._length
        else:
            seeds = "another seed" if self.trainings == 1 else "other seeds"
            of = f"{counted(self.trainings, 'repeat')} with {seeds}"
        return f"mean of {of}" if self.trainings > 1 else f"of {of}"

    @property
    def _length(self) -> str:
        return f" of {counted(self.epochs, 'epoch')}" if self.epochs else ""

    @property
    def intervals(self) -> str:
        """Both 95 % intervals in words; says so where there are none."""
        if self.reward_interval is None or self.objective_interval is None:
            return "no interval"
        both = (("reward", self.reward_interval), (in_words(self.objective), self.objective_interval))
        texts = (f"{name} {low:.4f} to {high:.4f}" for name, (low, high) in both)
        return f"95 %: {', '.join(texts)}"

    @property
    def lines(self) -> tuple[str, ...]:
        """Basis and intervals in lines that fit 68 columns."""
        if not self.is_repeated:
            return (f"{self.basis}, the one that selected it: {self.intervals}",)
        if self.reward_interval is None:
            return (f"{self.basis}: {self.intervals}",)
        return (self.basis, self.intervals)

    @property
    def uncertain_words(self) -> str:
        """The word on an uncertain step time that stands beside it; nothing of a certain one."""
        if self.uncertain is None:
            return ""
        return f" ({'' if self.uncertain.startswith('uncertain') else 'uncertain: '}{self.uncertain})"


def headline(row: TrialRow, standing: Standing | None) -> Headline:
    """The figures of the winning trial's architecture.

    Args:
        row: of the trial that wins, or selected what wins.
        standing: of its architecture among the finalists; None if it is none.
    """
    trial = Headline(
        trial_id=int(row["trial_id"]),
        reward=float(row["reward"] or 0.0),
        accuracy=measured(row, "accuracy"),
        objective=name_of(row),
        objective_value=measured_objective(row),
        step_time_ratio=measured(row, "step_time_ratio"),
        step_seconds=row.get("step_seconds"),
        epochs=int(row.get("epochs") or 0),
        uncertain=row.get("timing_flag"),
    )
    if standing is None:
        return trial
    found = standing.finalist
    return Headline(
        trial_id=trial.trial_id,
        reward=found.mean,
        accuracy=found.mean_accuracy,
        objective=found.objective,
        objective_value=found.mean_objective,
        step_time_ratio=fmean(found.step_time_ratios) if found.step_time_ratios else trial.step_time_ratio,
        step_seconds=fmean(found.step_seconds) if found.step_seconds else trial.step_seconds,
        epochs=found.epochs,
        trainings=len(found.rewards),
        is_repeated=True,
        is_longer=found.is_longer,
        reward_interval=_interval(standing.low, standing.high),
        objective_interval=_interval(standing.objective_low, standing.objective_high),
        uncertain=_uncertain(standing, trial),
    )


def _interval(low: float | None, high: float | None) -> Interval | None:
    return None if low is None or high is None else (low, high)


def _uncertain(standing: Standing, trial: Headline) -> str | None:
    found = standing.finalist
    if not found.step_time_ratios:
        return trial.uncertain
    if not found.timing_flags:
        return None
    several = f" in {len(found.timing_flags)} of {len(found.rewards)}" if len(found.rewards) > 1 else ""
    return f"{found.timing_flags[0]}{several}"
