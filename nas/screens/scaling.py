"""A family on the screen: its members as a table, what binds a budget, what to type next."""

from pathlib import Path
from shlex import quote

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.numbers import duration, percent, short_count
from nas.scaling.compound import Member
from nas.scaling.family import Scaled
from nas.scaling.solver import Solution
from nas.screens.measure import UNCERTAIN, UNCERTAIN_NOTE
from nas.screens.terminal import copyable
from search_spaces.settings.sentences import one_line

MOST_ROWS = 20
WORDS = {"params": "parameters", "macs": "MACs", "step_time_ratio": "step time", "hours": "hours"}


def family_screen(result: Scaled, files: list[Path]) -> RenderableType:
    """The base and its members below each other; fits 80 columns."""
    base = result.base
    lines: list[RenderableType] = [
        Text(
            f"{one_line(result.request.stem)}   {base.num_classes:,} classes"
            + (f"   step time on {result.device_name}" if result.device_name else ""),
            style="bold",
        ),
        _table(result),
    ]
    more = len(result.members) - MOST_ROWS
    if more > 0:
        lines.append(Text(f"and {more} more" + ("" if files else "; -o FOLDER writes all of them")))
    lines += [Text(line) for found in result.solutions for line in solution_lines(found)]
    lines += [Text(line, style="dim") for line in _notes(result)]
    lines += _next(files)
    return Group(*lines)


def _table(result: Scaled) -> Table:
    members = (result.base, *result.members[:MOST_ROWS])
    has_steps = any(result.step(member) for member in members)
    second = "a*b²*g²" if result.request.grid else "phi"
    headers = ["member", second, "layers", "params", "MACs", "x base", "train", "eval"]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for header in headers + ["step"] * has_steps:
        table.add_column(header, justify="left" if header == "member" else "right", no_wrap=True)
    for member in members:
        cells = _cells(result, member)
        table.add_row(*(cells if has_steps else cells[:-1]))
    return table


def _cells(result: Scaled, member: Member) -> list[str]:
    step = result.step(member)
    return [
        one_line(member.name),
        _phi(result, member),
        str(member.layers),
        short_count(member.params),
        short_count(member.macs),
        f"{member.macs / result.base.macs:.3g}",
        str(member.training_resolution),
        f"{member.inference_resolution}{'*' if member.is_capped else ''}",
        "-" if step is None else f"{step.ratio:.2f}x{UNCERTAIN if step.flag else ''}",
    ]


def _phi(result: Scaled, member: Member) -> str:
    if member.formula is not None and result.request.grid and member.name.startswith("a"):
        return f"{member.formula.macs_factor:.3f}"
    return "-" if member.phi is None else f"{member.phi:.4g}"


def solution_lines(found: Solution) -> list[str]:
    """The budget, how much of it is used, and which part of it is in the way of a larger member."""
    used = ", ".join(
        f"{_amount(name, found.figures[name])} of {_amount(name, limit)} {WORDS[name]}"
        for name, limit in found.budget.limits.items()
    )
    binds = " and ".join(WORDS[name] for name in found.binds)
    why = f"the next larger one exceeds the {binds}" if binds else "there is no larger one"
    lines = [f"{one_line(found.member.name)}: {used};", f"  {why}"]
    if found.step is not None and found.predicted_ratio is not None:
        error = found.predicted_ratio / found.step.ratio - 1
        lines[-1] += (
            f"; step time predicted {found.predicted_ratio:.2f}x, measured {found.step.ratio:.2f}x "
            f"({percent(error, digits=1, signed=True)})"
        )
    training = found.budget.training
    if training is not None and "hours" in found.figures:
        lines.append(
            f"  {duration(found.figures['hours'] * 3600)} for {training.epochs} epochs of "
            f"{training.images:,} images in batches of {training.batch_size}"
        )
    return lines


def _amount(name: str, value: float) -> str:
    if name == "step_time_ratio":
        return f"{value:.3g}x"
    return f"{value:.3g}" if name == "hours" else short_count(round(value))


def _notes(result: Scaled) -> list[str]:
    notes = ["train, eval: pixels of a side. MACs of an image at eval."]
    if any(result.step(member) for member in result.members):
        notes[0] += " step: over the base's, both at train."
    capped = [member for member in result.members if member.is_capped]
    if capped:
        lifted = "" if all(member.like for member in capped) else "; --v1 lifts it"
        notes.append(f"* held at V2's bound of inference{lifted}.")
    if any(step.flag for member in result.members if (step := result.step(member))):
        notes.append(UNCERTAIN_NOTE)
    if any("hours" in found.figures for found in result.solutions):
        notes.append(
            "Hours of training steps on this device at a constant size; data and evaluation come on top, "
            "progressive learning takes less."
        )
    if result.request.grid:
        notes.append(
            "The grid says what candidates cost, not which is best: that takes training them. The paper "
            "trained its grid on B0 and took alpha 1.2, beta 1.1, gamma 1.15."
        )
    return notes + list(result.notes)


def _next(files: list[Path]) -> list[RenderableType]:
    if not files:
        return [Text("next:  add -o FOLDER to write the members as YAML, with a picture")]
    lines: list[RenderableType] = [copyable(f"{files[0].parent}/   {len(files) - 1} YAML   {files[-1].name}")]
    lines.append(copyable(f"next:  nas describe {quote(str(files[0]))}"))
    return lines
