"""A search as a reactive notebook: the pictures of analysis/explore.ipynb, redrawn as sliders are moved.

    pip install marimo
    NAS_RUN=runs/flowers marimo run analysis/reactive/explore.py     # or marimo edit, to change it

Reads a run directory (also while its search goes on), an `s3://` URL, or a pattern of several runs. Nothing
here needs torch, ray or a GPU, and nothing is written: what is taken away is downloaded, or goes into the
folder NAS_OUT where that is set.
"""

import marimo

__generated_with = "0.20.0"
app = marimo.App(width="medium", app_title="A search")


@app.cell
def _():
    import os
    from pathlib import Path

    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np

    from analysis import plots
    from analysis.frame import describe_columns, floats, read_epochs, read_trials
    from analysis.ranking import ranked, reranked, searched

    return (
        Path,
        describe_columns,
        floats,
        mo,
        np,
        os,
        plots,
        plt,
        ranked,
        read_epochs,
        read_trials,
        reranked,
        searched,
    )


@app.cell
def _(mo, os):
    run_field = mo.ui.text(value=os.environ.get("NAS_RUN", "runs/quick"), label="run", full_width=True)
    again = mo.ui.run_button(label="read again")
    mo.vstack(
        [
            mo.md(
                "# Exploring a search\n\nA run directory, its URL in an object store, or a "
                "pattern of several runs:"
            ),
            mo.hstack([run_field, again]),
        ]
    )
    return again, run_field


@app.cell
def _(again, ranked, read_trials, run_field):
    again  # a click reads the rows that a search has added
    run = run_field.value
    trials = read_trials(run)
    ranked(trials, 5)[["run", "trial_id", "accuracy", "step_time_ratio", "params", "reward", "purpose"]]
    return run, trials


@app.cell
def _(describe_columns, mo):
    mo.accordion({"Every column, with its unit and what it means": describe_columns()})
    return


@app.cell
def _(mo):
    w = mo.ui.slider(-0.5, 0.0, step=0.005, value=-0.07, label="exponent of step time", show_value=True)
    v = mo.ui.slider(-0.5, 0.0, step=0.005, value=-0.05, label="exponent of parameters", show_value=True)
    any_step_time = 5.0  # the slider's end, at which trials without a step time are there, too
    slowest = mo.ui.slider(
        0.1,
        any_step_time,
        step=0.05,
        value=any_step_time,
        label="step time at most, x reference (at its end: any)",
        show_value=True,
    )
    mo.vstack(
        [
            mo.md(
                "## What if? Other exponents\n\nThe rows keep what was measured, so a reward is chosen "
                "afterwards: accuracy · S^w · P^v. Everything below follows the sliders; "
                "nothing is trained again."
            ),
            mo.hstack([w, v, slowest], wrap=True),
        ]
    )
    return any_step_time, slowest, v, w


@app.cell
def _(any_step_time, floats, ranked, reranked, slowest, trials, v, w):
    now = (w.value, v.value)
    is_within = floats(trials, "step_time_ratio") <= slowest.value
    is_any = slowest.value >= any_step_time
    within = reranked(trials if is_any else trials[is_within], {"step_time_ratio": now[0], "params": now[1]})
    best = ranked(within, 20)[["run", "trial_id", "accuracy", "step_time_ratio", "params", "macs", "reward"]]
    return best, now, within


@app.cell
def _(best, mo):
    chosen_rows = mo.ui.table(
        best, selection="single", initial_selection=[0] if len(best) else [], page_size=5
    )
    mo.vstack(
        [mo.md("The best under this trade-off, of one training each; a row shows its network:"), chosen_rows]
    )
    return (chosen_rows,)


@app.cell
def _(Path, best, chosen_rows, mo, os, trials):
    from search_spaces.settings.yaml_files import yaml_text
    from trials.log.rows import architecture_from_json

    picked = chosen_rows.value if len(chosen_rows.value) else best
    # Of several runs each has a trial of this number.
    chosen = picked[["run", "trial_id"]].head(1).merge(trials, on=["run", "trial_id"]).to_dict("records")
    text = "".join(
        yaml_text(
            architecture_from_json(_row["architecture"]), header=f"trial {_row['trial_id']} of {_row['run']}"
        )
        for _row in chosen
    )
    if out := os.environ.get("NAS_OUT"):
        (Path(out) / "chosen.yaml").write_text(text)
        best.to_csv(Path(out) / "best.csv", index=False)
    mo.vstack(
        [
            mo.plain_text(text),
            mo.hstack(
                [
                    mo.download(text.encode(), filename="chosen.yaml", label="the YAML"),
                    mo.download(best.to_csv(index=False).encode(), filename="best.csv", label="the table"),
                ]
            ),
        ]
    )
    return (chosen,)


@app.cell
def _(chosen, plots, plt, read_epochs, run, trials):
    searching = trials[trials["purpose"] != "finalist"]  # longer trainings do not compare with them
    epochs = read_epochs(run)
    epochs = epochs.merge(searching[["run", "trial_id"]], on=["run", "trial_id"])
    curves, _axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for _, _curve in epochs.groupby(["run", "trial_id"], observed=True):
        _axes.plot(_curve["epoch"].astype(int), _curve["minival_accuracy"], color=plots.GREY, alpha=0.4)
    for _row in chosen:
        _curve = epochs[(epochs["run"] == _row["run"]) & (epochs["trial_id"] == _row["trial_id"])]
        _axes.plot(_curve["epoch"].astype(int), _curve["minival_accuracy"], color=plots.ORANGE, linewidth=2)
    _axes.set(xlabel="epoch", ylabel="accuracy on minival (0-1)", title="all trials, and the chosen one")
    _axes.grid(alpha=0.3)
    curves
    return (searching,)


@app.cell
def _(mo, plots, plt, within):
    front, _axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    plots.draw_front(_axes[0], within, against="step_time_ratio")
    plots.draw_front(_axes[1], within, against="params")
    mo.vstack(
        [
            mo.md(
                "## What there is to choose from\n\nRings are the Pareto front of accuracy, "
                "step time and size."
            ),
            front,
        ]
    )
    return


@app.cell
def _(mo, plots, plt, within):
    so_far, _axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    plots.draw_progress(_axes[0], within, against="trials")
    plots.draw_progress(_axes[1], within, against="device_seconds")
    mo.vstack([mo.md("## Progress, beside random search"), so_far])
    return


@app.cell
def _(mo):
    count = mo.ui.slider(4, 30, value=10, label="options", show_value=True)
    count
    return (count,)


@app.cell
def _(count, mo, plots, plt, within):
    learned, _axes = plt.subplots(1, 2, figsize=(10, 1.4 + 0.24 * count.value), layout="constrained")
    plots.draw_fused(_axes[0], within)
    plots.draw_effects(_axes[1], within, count=count.value)
    mo.vstack(
        [
            mo.md("## What was learned\n\nChoices of the best tenth, and what each adds to the reward."),
            learned,
        ]
    )
    return


@app.cell
def _(run, searching):
    from analysis.stages import read_stages

    rewarded = searching[["run", "trial_id", "reward", "status"]]
    stages = read_stages(run).merge(rewarded, on=["run", "trial_id"])
    completed = stages[(stages["status"] == "completed") & (stages["layers"] > 0)]
    completed.groupby(["stage", "op"])["reward"].agg(["size", "mean", "max"]).round(4).reset_index()
    return


@app.cell
def _(mo, now, np, plots, plt, within):
    from analysis.reward_map import candidates, reward_map, winner_range

    known = candidates(within)
    mapped = reward_map(known, np.linspace(-0.5, 0, 26), np.linspace(-0.5, 0, 26))
    exponents, _axes = plt.subplots(figsize=(5, 3.8), layout="constrained")
    plots.draw_reward_map(_axes, mapped, now=now)
    mo.vstack([mo.md("Winners by exponents"), exponents, mo.plain_text(str(winner_range(known, now)))])
    return


@app.cell
def _(mo, plots, plt, within):
    from analysis.finalists import finalists, standings

    found = standings(finalists(within.to_dict("records")))
    sure = mo.md("No finalists were trained again.")
    if found:
        sure, _axes = plt.subplots(figsize=(5, 0.9 + 0.5 * len(found)), layout="constrained")
        plots.draw_finalists(_axes, found)
    mo.vstack([mo.md("## How sure is it?"), sure])
    return


@app.cell
def _(mo, plots, plt, read_trials, run, trials):
    from analysis.proxy_audit import proxy_audit

    try:
        audit = proxy_audit(trials, read_trials(f"{run}/audit"))
    except FileNotFoundError:
        audit = None
    audited = mo.md("Not audited: `nas audit` trains a sample for longer.")
    if audit is not None:
        audited, _axes = plt.subplots(figsize=(4.5, 3.8), layout="constrained")
        plots.draw_audit(_axes, audit)
    audited
    return


@app.cell
def _(mo, plots, plt, trials):
    from analysis.ledger import utilisation
    from analysis.numbers import percent

    cost, _axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
    plots.draw_ledger(_axes, trials)
    mo.vstack([mo.md(f"## What it cost\n\nUtilisation {percent(utilisation(trials))}"), cost])
    return


@app.cell
def _(mo, plt):
    from analysis.public_tables import read_public_table

    table = read_public_table("small_cifar10")
    fused = (table.filter(regex="_op$") == "fused_mbconv").sum(axis=1)
    public, _axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for _number, _rows in table.groupby(fused):
        _axes.scatter(
            _rows["step_time_ratio"],
            _rows["accuracy"],
            s=18,
            color=plt.cm.viridis(_number / 3.5),
            label=_number,
        )
    _axes.set(xlabel="training step time (x reference)", ylabel="accuracy on minival (0-1)")
    public.legend(title="fused stages", loc="outside right upper", frameon=False)
    _axes.grid(alpha=0.3)
    mo.vstack(
        [
            mo.md(
                "## A space of which everything is known\n\nAll 128 networks of a small space, trained for "
                "four epochs and timed. Where does fusing pay?"
            ),
            public,
        ]
    )
    return


if __name__ == "__main__":
    app.run()
