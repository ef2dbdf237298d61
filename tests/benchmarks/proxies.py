"""Gain of proxies without training, given what a space knows already: parameters, multiply-adds and depth.

    python tests/benchmarks/proxies.py small --networks small analysis/tables/small_cifar10.parquet \\
        --images CIFAR/train.parquet
    python tests/benchmarks/proxies.py macro --networks macro NAS_BENCH_MACRO.parquet \\
        --images CIFAR/train.parquet

Computes the proxies of each network (kept in the folder of --output, so that a second call only evaluates),
then prints

- partial rank correlations with the accuracy, given parameters, multiply-adds and depth, with 95 % intervals
  of a bootstrap over networks;
- by how much the error of the expected logit of accuracy changes on networks left out, where the model is
  told the proxy as well: trained on 10, 20 and 50 networks, random splits, the same for both models; the mean
  and its 95 % interval over splits, which share networks and so are closer to each other than new tables
  would be. `noise` is a column of random numbers: what a useless proxy costs. `activations` is counted.

Two models: `choices`, the predictor's own process of choices and what is known beforehand; `counts`, the same
process of what is known alone, a Bayesian linear model.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from proxy_networks import Networks, batches_of, of_macro, of_space
from proxy_scores import NAMES, scores
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau, spearmanr

from analysis.choice_model import accuracy_logit
from analysis.intervals import Estimate, half_width, resampled
from nas.strategies.predictor.gaussian_process import ChoiceProcess, OneHot, fit_hyperparameters
from nas.strategies.predictor.reward_model import ACCURACY

SIZES = (10, 20, 50)
SETS = {
    "az-nas": ("expressivity", "progressivity", "trainability"),
    "zico, trainability, swap, meco": ("zico", "trainability", "swap", "meco"),
    "all": NAMES,
}
CONTROLS = ("activations", "noise")
GIVEN = ("params", "macs", "depth")
FARTHEST = 3.0  # standard deviations from the mean that a proxy may lie


@dataclass(frozen=True)
class Known:
    """One table's networks as models see them.

    Attributes:
        choices: (networks, decisions).
        logit: (networks), of the accuracy.
        counts: (networks, counts), standardised.
        proxies: by name, (networks), standardised.
    """

    choices: np.ndarray
    logit: np.ndarray
    counts: np.ndarray
    proxies: dict[str, np.ndarray]


# ---------------------------------------------------------------------- proxies of all networks


def computed(
    networks: Networks, images: str, path: Path, *, inputs: Sequence[str], initialisations: int, batch: int
) -> pd.DataFrame:
    """Rows of every network, initialisation and kind of input; those in the file are not computed again."""
    rows = pd.read_parquet(path).to_dict("records") if path.exists() else []
    there = {(tuple(row["choices"]), row["inputs"], row["seed"]) for row in rows}
    for seed in range(initialisations):
        for kind in inputs:
            source = images if kind == "real" else None
            pairs = batches_of(source, side=networks.side, size=batch, count=2, seed=seed)
            for i, choices in enumerate(networks.choices.tolist()):
                if (tuple(choices), kind, seed) in there:
                    continue
                torch.manual_seed(1000 * seed + i)
                found, seconds = scores(networks.build(choices), pairs)
                place = {"inputs": kind, "seed": seed, "choices": choices, "seconds": seconds}
                rows.append({**place, **asdict(networks.counted(choices)), **found})
            path.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(rows).to_parquet(path)
    return pd.DataFrame(rows)


def known(
    networks: Networks, rows: pd.DataFrame, *, inputs: str, initialisations: int, given: Sequence[str] = GIVEN
) -> Known:
    """The table with the mean of each proxy over the first initialisations; models know the given counts."""
    some = rows[(rows["inputs"] == inputs) & (rows["seed"] < initialisations)]
    trained = np.isfinite(networks.accuracy)
    wanted = [tuple(choices) for choices in networks.choices[trained].tolist()]
    mean = some.drop(columns=["inputs", "seed", "choices"]).groupby(some["choices"].map(tuple)).mean()
    mean = mean.loc[wanted]
    counts = [mean[name] if name == "depth" else np.log(mean[name]) for name in given]
    rng = np.random.default_rng(0)
    return Known(
        choices=networks.choices[trained],
        logit=accuracy_logit(networks.accuracy[trained]),
        counts=np.column_stack([standard(c.to_numpy()) for c in counts if c.nunique() > 1]),
        proxies={name: standard(mean[name].to_numpy()) for name in NAMES}
        | {"activations": standard(np.log(mean["activations"].to_numpy()))}
        | {"noise": standard(rng.standard_normal(len(mean)))},
    )


def standard(values: np.ndarray) -> np.ndarray:
    """Values with mean 0 and standard deviation 1; outliers are drawn in."""
    spread = values.std()
    return np.clip((values - values.mean()) / (spread if spread > 0 else 1.0), -FARTHEST, FARTHEST)


# ---------------------------------------------------------------------- partial correlations


def partial(logit: np.ndarray, proxy: np.ndarray, counts: np.ndarray, *, of: str) -> float:
    """Rank correlation, `spearman` or `kendall`, of what linear regressions on the counts leave of both.

    Not the partial correlation of Kendall's taus, which is not 0 where two follow a third independently.
    """
    design = np.column_stack([np.ones(len(logit)), counts])
    left = [values - design @ np.linalg.lstsq(design, values)[0] for values in (logit, proxy)]
    measure = spearmanr if of == "spearman" else kendalltau
    return float(measure(*left).statistic)


def correlations(table: Known, name: str) -> dict[str, Any]:
    """Plain and partial rank correlations of a proxy with the accuracy."""
    proxy, nothing = table.proxies[name], np.zeros((len(table.logit), 0))

    def spearman(some: np.ndarray) -> float:
        return partial(table.logit[some], proxy[some], table.counts[some], of="spearman")

    return {
        "spearman": partial(table.logit, proxy, nothing, of="spearman"),
        "partial_spearman": resampled(spearman, len(proxy)),
        "partial_kendall": partial(table.logit, proxy, table.counts, of="kendall"),
    }


# ---------------------------------------------------------------------- errors on networks left out


def errors(table: Known, columns: Sequence[str], *, model: str, splits: int, size: int) -> np.ndarray:
    """Root mean square error and Kendall's tau on the networks left out by each split, (splits, 2)."""
    options = table.choices.max(axis=0) + 1 if model == "choices" else np.ones(1, dtype=int)
    choices = table.choices if model == "choices" else np.zeros((len(table.logit), 1), dtype=int)
    one_hot = OneHot(options.tolist())
    extras = np.column_stack([table.counts, *(table.proxies[name] for name in columns)])
    found = []
    for split in range(splits):
        order = np.random.default_rng([split, size]).permutation(len(table.logit))
        train, test = order[:size], order[size:]
        told = choices[train], extras[train], table.logit[train]
        hyper = fit_hyperparameters(one_hot, *told, ACCURACY)
        mean = ChoiceProcess(one_hot, *told, hyper).mean()
        expected = mean.of(one_hot.options(choices[test]), extras[test])
        wrong = np.sqrt(np.mean((expected - table.logit[test]) ** 2))
        tau = kendalltau(expected, table.logit[test]).statistic
        found.append((wrong, 0.0 if np.isnan(tau) else tau))
    return np.array(found)


def gains(table: Known, sets: dict[str, Sequence[str]], *, model: str, splits: int) -> dict[str, Any]:
    """Changes of error (%) and tau, with half intervals, for each set of proxies and each size."""
    figures: dict[str, Any] = {}
    for size in SIZES:
        without = errors(table, (), model=model, splits=splits, size=size)
        figures.setdefault("without", {})[size] = without.mean(axis=0).tolist()
        for name, columns in sets.items():
            changed = errors(table, columns, model=model, splits=splits, size=size)
            change = np.column_stack(
                [100 * (changed[:, 0] / without[:, 0] - 1), changed[:, 1] - without[:, 1]]
            )
            figures.setdefault(name, {})[size] = {
                "change": change.mean(axis=0).tolist(),
                "half_width": half_width(change).tolist(),
            }
    return figures


# ---------------------------------------------------------------------- printed


def shown_correlations(found: dict[str, dict[str, Any]], *, title: str) -> Table:
    table = Table(title=title, box=None)
    for heading in ("proxy", "Spearman", "partial Spearman [95 %]", "partial Kendall", "noise"):
        table.add_column(heading, justify="left" if heading == "proxy" else "right")
    for name, of in found.items():
        partly: Estimate = of["partial_spearman"]
        table.add_row(
            name,
            f"{of['spearman']:+.2f}",
            f"{partly.value:+.2f} [{partly.low:+.2f}, {partly.high:+.2f}]",
            f"{of['partial_kendall']:+.2f}",
            f"{of['of_initialisations']:.2f}",
        )
    return table


def shown_gains(found: dict[str, Any], *, title: str) -> Table:
    table = Table(title=title, box=None)
    table.add_column("told as well")
    for size in SIZES:
        wrong, tau = found["without"][size]
        table.add_column(f"{size}: error ({wrong:.3f}), %", justify="right")
        table.add_column(f"tau ({tau:.2f})", justify="right")
    for name, of in found.items():
        if name != "without":
            cells = []
            for size in SIZES:
                (wrong, tau), (half, tau_half) = of[size]["change"], of[size]["half_width"]
                cells += [f"{wrong:+.1f} ±{half:.1f}", f"{tau:+.3f} ±{tau_half:.3f}"]
            table.add_row(name, *cells)
    return table


def noise_of(rows: pd.DataFrame, name: str, inputs: str) -> float:
    """Share of a proxy's variance between networks that is of the initialisation, of one initialisation."""
    if name not in rows:
        return 0.0
    some = rows[rows["inputs"] == inputs].assign(network=rows["choices"].map(str))
    wide = some.pivot(index="network", columns="seed", values=name).dropna(axis=1).to_numpy()
    if wide.shape[1] < 2:
        return float("nan")
    wide = wide - wide.mean(axis=0)  # batches of images differ, for all networks alike
    return float(wide.var(axis=1, ddof=1).mean() / wide.var(ddof=1))


def main() -> None:
    """Computes, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", help="of the files in --output")
    parser.add_argument("--networks", nargs=2, metavar=("SPACE", "TABLE"), required=True)
    parser.add_argument("--images", required=True, help="the source of images")
    parser.add_argument("--side", type=int, default=32, help="of images, in pixels")
    parser.add_argument("--count", type=int, default=150, help="networks of NAS-Bench-Macro")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--inputs", default="real,random")
    parser.add_argument("--means", default="1,3", help="initialisations of which means are taken")
    parser.add_argument("--given", default=",".join(GIVEN), help="counts that models know; also activations")
    parser.add_argument("--models", default="choices,counts")
    parser.add_argument("--output", type=Path, default=Path("runs/proxies"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    space, path = arguments.networks[0], Path(arguments.networks[1])
    networks = (
        of_macro(path, networks=arguments.count)
        if space == "macro"
        else of_space(space, path, side=arguments.side)
    )
    rows = computed(
        networks,
        arguments.images,
        arguments.output / f"{arguments.name}.parquet",
        inputs=arguments.inputs.split(","),
        initialisations=max(map(int, arguments.means.split(","))),
        batch=arguments.batch,
    )
    console = Console(width=150, highlight=False)
    seconds = rows["seconds"]
    console.print(
        f"{arguments.name}: {len(networks.choices)} networks; all proxies take {seconds.median():.2f} s of "
        f"CPU time for a network, {seconds.max():.2f} s at most"
    )
    names = (*NAMES, *CONTROLS)
    sets: dict[str, Sequence[str]] = {**{name: (name,) for name in names}, **SETS}
    figures: dict[str, Any] = {}
    show: Callable[[Any], None] = console.print
    for inputs in arguments.inputs.split(","):
        for initialisations in map(int, arguments.means.split(",")):
            table = known(
                networks,
                rows,
                inputs=inputs,
                initialisations=initialisations,
                given=arguments.given.split(","),
            )
            kind = f"{arguments.name}, {inputs} images, mean of {initialisations}, given {arguments.given}"
            found = {
                name: {**correlations(table, name), "of_initialisations": noise_of(rows, name, inputs)}
                for name in names
            }
            show(shown_correlations(found, title=kind))
            figures[kind] = {"correlations": found}
            for model in filter(None, arguments.models.split(",")):
                changes = gains(table, sets, model=model, splits=arguments.splits)
                figures[kind][model] = changes
                show(shown_gains(changes, title=f"{kind}; model of {model}, {arguments.splits} splits"))
    (arguments.output / f"{arguments.name}.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
