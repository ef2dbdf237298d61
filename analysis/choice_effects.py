"""Effects of each choice in a search: its share among the best trials, and its addition to the reward."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.frame import floats
from analysis.intervals import NORMAL, Estimate, difference, share
from analysis.ranking import searched
from analysis.stages import OF_ONE_STAGE, ends_of, stages_of

Decision = tuple[int, str]
FREQUENCY_COLUMNS = (
    "stage", "field", "option", "count", "share", "top_count", "top_share", "top_low", "top_high",
)  # fmt: skip
EFFECT_COLUMNS = ("stage", "field", "option", "count", "effect", "low", "high", "adjusted")
TOP_SHARE = 0.1
FEWEST_AT_TOP = 5
ROWS_PER_COEFFICIENT = 3  # below, other choices cannot be held fixed, and means are compared as they are


@dataclass(frozen=True)
class Decisions:
    """The choices in which a run's completed trials differ, by stage and field.

    Stage 0 holds the channels of the stem and of the head.
    """

    values: dict[Decision, pd.Series]  # None where the stage is absent
    reward: np.ndarray
    is_top: np.ndarray  # the best tenth by reward, at least FEWEST_AT_TOP


def decisions(trials: pd.DataFrame) -> Decisions:
    """The choices of completed search and baseline trials."""
    rows = searched(trials).reset_index(drop=True)
    varying: dict[Decision, pd.Series] = {}
    seen: set[tuple[int, bytes]] = set()
    for key, values in _values(rows).items():
        # Fields that always change together (an op, and whether it squeezes) are one decision: the first.
        same = (key[0], pd.factorize(values)[0].tobytes())
        if values.nunique() > 1 and same not in seen:
            varying[key] = values
        seen.add(same)
    reward = floats(rows, "reward")
    count = min(max(round(TOP_SHARE * len(rows)), FEWEST_AT_TOP), len(rows))
    is_top = np.zeros(len(rows), dtype=bool)
    is_top[np.argsort(-reward, kind="stable")[:count]] = True
    return Decisions(varying, reward, is_top)


def _values(rows: pd.DataFrame) -> dict[Decision, pd.Series]:
    if rows.empty:
        return {}
    numbered = rows.assign(trial_id=np.arange(len(rows)))  # of several runs, numbers repeat
    ends = ends_of(numbered)
    found = {(0, str(name)): ends[name].astype(object) for name in ends}
    stages = stages_of(numbered)
    fields = [column.name for column in OF_ONE_STAGE if column.name in stages]
    for stage in sorted(stages["stage"].unique().tolist()):
        group = stages[stages["stage"] == stage].set_index("trial_id").reindex(range(len(rows)))
        # Of a stage that is absent nothing but that is a choice.
        absent = (group["layers"] == 0).to_numpy()
        for name in fields:
            column = group[name].astype(object)
            column[absent & (name != "layers")] = None
            found[(stage, name)] = column
    return found


def choice_frequencies(found: Decisions) -> pd.DataFrame:
    """Frequencies of each option among all trials and among the best tenth, with 95 % intervals.

    Columns: stage, field, option, count, share (of all), top_count, top_share, top_low, top_high.
    """
    lines = []
    for key, option, chosen in _options(found):
        known = found.values[key].notna().to_numpy()
        everywhere = share(int(chosen.sum()), int(known.sum()))
        top = share(int((chosen & found.is_top).sum()), int((known & found.is_top).sum()))
        line = (*key, option, int(chosen.sum()), everywhere.value, int((chosen & found.is_top).sum()), *top)
        lines.append(line)
    return pd.DataFrame(lines, columns=list(FREQUENCY_COLUMNS))


def marginal_effects(found: Decisions) -> pd.DataFrame:
    """Addition of each option to the reward, compared with the mean over the options of its decision.

    Other choices are held fixed by least squares over all decisions at once, where there are trials enough
    (`adjusted`); else the mean with the option is compared with the mean without it.
    Columns: stage, field, option, count, effect, low, high (95 %), adjusted.
    """
    options = _options(found)
    if not options:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    fitted = _fitted(found, options)
    lines = []
    for i, (key, option, chosen) in enumerate(options):
        plain = difference(found.reward[chosen], found.reward[~chosen])
        estimate = plain if fitted is None else fitted[i]
        lines.append((*key, option, int(chosen.sum()), *estimate, fitted is not None))
    return pd.DataFrame(lines, columns=list(EFFECT_COLUMNS))


Options = list[tuple[Decision, object, np.ndarray]]


def _options(found: Decisions) -> Options:
    """Each (stage, field), each of its options, and who chose it."""
    return [
        (key, option, (found.values[key] == option).to_numpy(dtype=bool, na_value=False))
        for key in found.values
        for option in sorted(found.values[key].dropna().unique())
    ]


def _fitted(found: Decisions, options: Options) -> list[Estimate] | None:
    """Least squares on one-hot choices; each decision's effects, weighted by count, are 0 in sum."""
    chosen = np.stack([mask for _, _, mask in options], axis=1).astype(float)
    freedom = len(found.reward) - int(np.linalg.matrix_rank(chosen - chosen.mean(axis=0))) - 1
    if freedom < ROWS_PER_COEFFICIENT * chosen.shape[1]:
        return None
    # Options of one decision add up to 1, so the columns depend on each other: a pseudo-inverse.
    centred = chosen - chosen.mean(axis=0)
    inverse = np.linalg.pinv(centred.T @ centred, hermitian=True)
    target = found.reward - found.reward.mean()
    weights = inverse @ centred.T @ target
    variance = float(((target - centred @ weights) ** 2).sum()) / freedom
    # An effect is its option's weight over the mean weight of the options of the same decision.
    contrast = np.eye(len(options))
    for key in found.values:
        own = np.array([i for i, option in enumerate(options) if option[0] == key])
        counts = chosen[:, own].sum(axis=0)
        contrast[np.ix_(own, own)] -= counts / counts.sum()
    # Effects are sums of weights, and so their variances are those of sums.
    effects = contrast @ weights
    errors = np.sqrt(np.maximum(np.diag(contrast @ inverse @ contrast.T) * variance, 0.0))
    return [Estimate(e, e - NORMAL * s, e + NORMAL * s) for e, s in zip(effects, errors, strict=True)]
