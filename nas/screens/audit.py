"""What `nas audit` shows: a bar while it trains, a line per architecture, and how the rankings agree."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.progress import Progress as ProgressBars
from rich.text import Text

from analysis.intervals import Estimate
from analysis.proxy_audit import ProxyAudit
from nas.commands.launch import executor_of, packed_images
from nas.report.page import report_after_search
from nas.search.audit import AuditPlan, AuditTrained, audit
from trials.executors.timing_places import ANY
from trials.trial import EpochResult, Event


def audit_on_console(
    plan: AuditPlan, *, workers: int | None, ray_address: str | None, in_process: bool, console: Console
) -> dict[str, Any]:
    """Runs an audit with a bar of its epochs, renews the report, and returns the figures.

    Raises:
        ConfigError: the options or the images are not right; nothing was created.
    """
    # Step times are those of the short trials, so it does not matter where longer ones train.
    execute, where = executor_of(
        workers=workers, ray_address=ray_address, in_process=in_process, timing_device=ANY
    )
    packed_images(plan.config, console)
    more = len(plan.sample) + plan.in_flight
    console.print(
        f"auditing  {more} more architectures of {plan.run}, {plan.epochs} epochs each, {where}",
        highlight=False,
        soft_wrap=True,
    )
    with ProgressBars(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("training", total=more * plan.epochs)

        def show(news: Event | AuditTrained) -> None:
            if isinstance(news, EpochResult):
                bars.advance(bar)
            elif isinstance(news, AuditTrained):
                console.print(_line(news), highlight=False, soft_wrap=True)

        found = audit(plan, execute=execute, on_news=show)
    report_after_search(plan.run, console)
    return audit_figures(plan.run, found)


def _line(news: AuditTrained) -> str:
    head = f"trial {news.short['trial_id']:>5}  reward {news.short['reward']:.4f}"
    if news.row["status"] != "completed":
        return f"{head}  {news.row['status']}: {news.row['failure_kind']}"
    return (
        f"{head}  accuracy {news.short['accuracy']:.4f}, after {news.row['epochs']} epochs "
        f"{news.row['accuracy']:.4f}"
    )


def audit_figures(run: Path, found: ProxyAudit | None) -> dict[str, Any]:
    """As one mapping, for --json; intervals as [low, high], None where too few were trained."""
    figures: dict[str, Any] = {"run": str(run), "architectures": len(found.pairs) if found else 0}
    if found is None:
        return figures
    figures |= {"top": found.top, "seed_deviation": found.seed_deviation or None}
    for name, estimate in (("tau", found.tau), ("recall", found.recall), ("regret", found.regret)):
        figures |= {name: _or_none(estimate.value), f"{name}_interval": _interval(estimate)}
    return figures


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _interval(found: Estimate) -> list[float] | None:
    return [found.low, found.high] if np.isfinite(found.low) else None


def audit_screen(figures: dict[str, Any]) -> RenderableType:
    """How the two rankings agree, and what to type next; fits 80 columns."""
    if figures["architectures"] < 2:
        return Text("fewer than two architectures are trained both ways; there is nothing to compare")
    lines = [Text(f"{figures['architectures']} architectures trained both ways", style="bold")]
    names = {
        "tau": "Kendall's tau of the rankings",
        "recall": f"of the best {figures['top']}, found by short trials",
        "regret": "reward lost by the short ranking's first",
    }
    for name, words in names.items():
        value, interval = figures[name], figures[f"{name}_interval"]
        text = f"  {words:<42} " + ("-" if value is None else f"{value:.3f}")
        if interval is not None:
            text += f"   95 %: {interval[0]:.3f} to {interval[1]:.3f}"
        lines.append(Text(text))
    lines.append(Text(f"next:  nas report {figures['run']} --open"))
    return Group(*lines)
