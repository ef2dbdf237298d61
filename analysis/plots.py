"""Pictures of a run for notebooks and papers, with matplotlib: each takes rows and an axes, and draws."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.choice_effects import choice_frequencies, decisions, marginal_effects
from analysis.finalists import Standing
from analysis.frame import floats, objective_values, objective_words
from analysis.ledger import ALL_KINDS, ledger
from analysis.pareto import non_dominated
from analysis.pictures import LABELS, STRONGEST, SURE, lowest_reward_shown, on_minival
from analysis.progress import front_points, progress, random_band
from analysis.proxy_audit import ProxyAudit
from analysis.ranking import ranked, searched
from analysis.reward_map import RewardMap
from search_spaces.networks.ops import FUSED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Told apart by people who see two colours of the three, and in grey.
BLUE, ORANGE, GREEN, GREY = "#0068a8", "#c2500a", "#00785a", "#a3a9b3"
COLOURS = (BLUE, ORANGE, GREEN, "#8a5a9e", "#8f7300", "#3f90b8", "#a8325a")
WIDE = 8  # largest over smallest, beyond which an axis is logarithmic


def draw_front(axes: "Axes", trials: pd.DataFrame, *, against: str = "step_time_ratio") -> None:
    """The objective against a cost, a point for each completed trial; rings around the Pareto front."""
    rows = searched(trials)
    factor = 1e-6 if against == "params" else 1.0
    for purpose, colour, name in (("baseline", GREY, "uniform"), ("search", BLUE, "proposed")):
        own = rows[rows.purpose == purpose]
        axes.scatter(floats(own, against) * factor, objective_values(own), s=9, color=colour, label=name)
    front = rows.iloc[list(non_dominated(front_points(rows)))]
    axes.scatter(
        floats(front, against) * factor,
        objective_values(front),
        s=46, facecolors="none", edgecolors=GREEN, linewidths=1.6, label="front",
    )  # fmt: skip
    best = ranked(trials, 1)
    axes.scatter(floats(best, against) * factor, objective_values(best), s=60, color=ORANGE, label="best")
    axes.set(xlabel=LABELS[against], ylabel=on_minival(objective_words(rows)))
    costs = floats(rows, against)
    if len(costs) and np.nanmax(costs) > WIDE * np.nanmin(costs):
        axes.set_xscale("log")
    _finish(axes)


def draw_progress(axes: "Axes", trials: pd.DataFrame, *, against: str = "trials") -> None:
    """The best reward so far, each trial's, and the band of random search."""
    curve, band = progress(trials), random_band(trials)
    axes.scatter(curve[against], curve["reward"].where(curve["reward"] > 0), s=6, color=GREY, label="trials")
    axes.step(curve[against], curve["best"], where="post", color=ORANGE, linewidth=2, label="best so far")
    if len(band) > 1:
        axes.fill_between(
            band[against], band["low"], band["high"], color=GREEN, alpha=0.2, lw=0, label="random, 80 %"
        )
        axes.plot(band[against], band["median"], color=GREEN, linewidth=2, label="random, median")
    if (lowest := lowest_reward_shown(floats(curve, "reward"))) is not None:
        axes.set_ylim(bottom=lowest)
    axes.set(xlabel=LABELS[against], ylabel=LABELS["reward"])
    _finish(axes)


def draw_fused(axes: "Axes", trials: pd.DataFrame) -> None:
    """Shares of Fused-MBConv in each stage, of all trials and of the best tenth with 95 % intervals."""
    table = choice_frequencies(decisions(trials))
    rows = table[(table["field"] == "op") & (table["option"] == FUSED)]
    places = np.arange(len(rows))
    spread = [rows["top_share"] - rows["top_low"], rows["top_high"] - rows["top_share"]]
    axes.errorbar(
        rows["top_share"], places, xerr=np.maximum(spread, 0), fmt="o", color=ORANGE, label="best tenth"
    )
    axes.scatter(rows["share"], places, s=46, facecolors="none", edgecolors=GREY, label="all trials")
    axes.set_yticks(places, [f"stage {stage}" for stage in rows["stage"]])
    axes.invert_yaxis()
    axes.set(xlim=(-0.03, 1.03), xlabel=LABELS["fused"])
    _finish(axes)


def draw_effects(axes: "Axes", trials: pd.DataFrame, *, count: int = STRONGEST) -> None:
    """The options that move the reward most, with 95 % intervals."""
    effects = marginal_effects(decisions(trials))
    order = effects["effect"].abs().sort_values(ascending=False).index[:count]
    rows = effects.loc[order].sort_values("effect", ascending=False)
    places = np.arange(len(rows))
    axes.errorbar(
        rows["effect"], places, xerr=(rows["high"] - rows["low"]).fillna(0) / 2, fmt="o", color=BLUE
    )
    names = [f"stage {r['stage']} {r['field']} {r['option']}" for r in rows.to_dict("records")]
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set(xlabel=LABELS["effect"])
    axes.locator_params(axis="x", nbins=5)
    axes.grid(alpha=0.3)


def draw_reward_map(axes: "Axes", mapped: RewardMap, *, now: tuple[float, float]) -> None:
    """The winner for each pair of exponents, pale where it is unsure; a cross at the search's trade-off."""
    common = mapped.most_frequent(len(COLOURS))
    image = np.ones((*mapped.winner.shape, 3))
    for winner, colour in zip(common, COLOURS, strict=False):
        shade = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        own = mapped.winner == winner
        share = np.where(mapped.stability >= SURE, 0.9, 0.45)[own][:, None]
        image[own] = share * shade + (1 - share)
    w, v = mapped.step_exponents, mapped.size_exponents
    axes.imshow(image.transpose(1, 0, 2), origin="lower", extent=(w[0], w[-1], v[0], v[-1]), aspect="auto")
    for winner in common:
        if (middle := mapped.middle_of(winner)) is not None:
            axes.text(*middle, f"{winner}", ha="center", va="center", color="white")
    axes.plot(*now, marker="+", markersize=13, markeredgewidth=2, color="black")
    axes.set(xlabel=LABELS["step_exponent"], ylabel=LABELS["size_exponent"])


def draw_ledger(axes: "Axes", trials: pd.DataFrame) -> None:
    """Each worker's device-seconds by kind, idle time included."""
    spent = ledger(trials)
    left = np.zeros(len(spent))
    for kind, colour in zip(ALL_KINDS, (COLOURS[3], ORANGE, BLUE, GREEN, COLOURS[4], "#e3e5e9"), strict=True):
        axes.barh(spent.index.astype(str), spent[kind], left=left, color=colour, label=kind)
        left += spent[kind].to_numpy()
    axes.invert_yaxis()
    axes.set(xlabel=LABELS["device_seconds"], ylabel="worker")
    axes.legend(fontsize="small", ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)


def draw_finalists(axes: "Axes", found: list[Standing]) -> None:
    """Mean rewards of the finalists' trainings with 95 % intervals; rings: the trials that selected them.

    Trainings that are longer than trials stand alone: the trials' rewards do not compare with theirs.
    """
    places = np.arange(len(found))
    means = np.array([s.finalist.mean for s in found])
    half = [0.0 if s.high is None else s.high - s.finalist.mean for s in found]
    is_longer = any(s.finalist.is_longer for s in found)
    label = f"mean after {found[0].finalist.epochs} epochs" if is_longer else "mean of repeats"
    axes.errorbar(means, places, xerr=half, fmt="o", color=BLUE, label=label)
    if not is_longer:
        selected = [s.finalist.selected_reward for s in found]
        axes.scatter(selected, places, s=46, facecolors="none", edgecolors=GREY, label="selected by")
    axes.set_yticks(places, [f"trial {s.finalist.trial_id}" for s in found])
    axes.invert_yaxis()
    axes.set(xlabel=LABELS["reward"])
    _finish(axes)


def draw_audit(axes: "Axes", audit: ProxyAudit) -> None:
    """Rewards of the same architectures after short and after long training."""
    axes.scatter(audit.pairs["short"], audit.pairs["long"], s=30, color=BLUE)
    tau = audit.tau
    axes.set(xlabel=LABELS["short"], ylabel=LABELS["long"])
    axes.set_title(f"Kendall's tau {tau.value:.2f} ({tau.low:.2f} to {tau.high:.2f})", fontsize="medium")
    axes.grid(alpha=0.3)


def _finish(axes: "Axes") -> None:
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", frameon=False)
