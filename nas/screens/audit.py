"""What `nas audit` shows: a bar while it trains, a line per architecture, and how the rankings agree."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from analysis.intervals import Estimate
from analysis.proxy_audit import ProxyAudit
from nas.search.audit import AuditTrained


def audit_line(news: AuditTrained) -> str:
    """A longer training beside its short trial."""
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
