"""Numbers as people read them: counts, durations, shares."""

import math


def short_count(number: int) -> str:
    """A number to three figures: 27.2 k, 4.28 M."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.{2 - len(str(int(number / size))) + 1}f} {unit}"
    return str(number)


def three_figures(value: float) -> str:
    """A value to three figures, all digits of larger ones: 0.0123, 12.3, 1,234."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds to three figures, without the unit: 12.3."""
    return three_figures(1000 * seconds)


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural where it is not one: 1 worker, 2,000 workers."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def finite_or_none(value: float) -> float | None:
    """A figure as JSON takes it: None in the place of NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def percent(share: float, *, digits: int = 0, signed: bool = False) -> str:
    """A share of 1 in per cent: 12 %; with `signed` also +12 %, of a difference."""
    return f"{100 * share:{'+' if signed else ''}.{digits}f} %"


def probability(value: float) -> str:
    """A probability in per cent; estimated ones never reach 100 %."""
    return "more than 99 %" if value > 0.99 else percent(value)


def truly_better(chance: float) -> str:
    """The words of screens and reports on the first of several finalists."""
    return f"truly better than the second with a probability of {probability(chance)}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def precise_duration(seconds: float) -> str:
    """As `duration`, but below 10 s to two figures, and from two days on in days."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    days = seconds / 86_400
    return duration(seconds) if days < 2 else f"{days:,.3g} days"
