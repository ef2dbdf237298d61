"""The screens of `nas compare`: costs and estimate at the beginning, the next training, the comparison."""

from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

from analysis.intervals import Interval
from analysis.numbers import counted, duration, percent, precise_duration, short_count, three_figures
from nas.advising.comparison_steps import comparison_goes_on
from nas.comparing.compare import (
    ComparisonBegun,
    ComparisonEvent,
    Timing,
    TrainingDiverged,
    TrainingDue,
)
from nas.comparing.config import ComparisonPlan
from nas.comparing.figures import ComparisonFigures, NetworkFigures
from nas.comparing.results import JSON_FILE, PICTURE_FILE
from nas.screens.measure import UNCERTAIN, UNCERTAIN_NOTE, shortened
from nas.screens.terminal import copyable, print_notes
from search_spaces.settings.sentences import one_line, some
from trials.objective import ACCURACY, in_a_word, in_words
from trials.timing.precision import AS_ASKED


class ComparisonView:
    """Lines of a comparison between its trainings, each of which has a view of its own."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def show(self, event: ComparisonEvent) -> None:
        """Shows an event."""
        if isinstance(event, Timing):
            self._timing(event)
            return
        self.stop()
        if isinstance(event, ComparisonBegun):
            print_notes(self._console, "data", event.notes)
            self._console.print(plan_screen(event), crop=False)
        elif isinstance(event, TrainingDue):
            left = "" if event.seconds_left is None else f", about {duration(event.seconds_left)} left"
            self._console.print(
                Text(
                    f"\ntraining {event.number} of {event.total}: {one_line(event.training.network)}, seed "
                    f"{event.training.seed}{left}",
                    style="bold",
                ),
                soft_wrap=True,
            )

        elif isinstance(event, TrainingDiverged):
            text = f"diverged: {one_line(event.reason)}; left out, and the others are trained"
            self._console.print(Text(text), soft_wrap=True)

    def stop(self) -> None:
        """Takes what moves from the screen."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _timing(self, event: Timing) -> None:
        if not self._console.is_terminal:
            self._console.print(f"timing     {one_line(event.what)}", soft_wrap=True)
            return
        if self._status is None:
            self._status = self._console.status("")
            self._status.start()
        self._status.update(f"timing {one_line(event.what)}")


# ---------------------------------------------------------------------- at the beginning


def plan_screen(begun: ComparisonBegun) -> RenderableType:
    """Networks, what each costs, and what all of it will take."""
    plan = begun.plan
    config, conditions = plan.config, plan.conditions
    networks, total = len(config.networks), config.repeats * len(config.networks)
    lines: list[RenderableType] = [
        Text(
            f"comparison {networks} networks x {counted(config.repeats, 'seed')} = "
            f"{counted(total, 'training')} on {conditions.train_images:,} images; {_equal(plan)}"
        )
    ]
    if conditions.precision_reason != AS_ASKED:
        lines.append(Text(f"           all in {conditions.precision}: {conditions.precision_reason}"))
    table = _table("network", "step time", "parameters", "epochs")
    for i, (name, costs) in enumerate(plan.costs.items()):
        ratio = _ratio(costs.step_time_ratio, costs.timing_flag if i else None)
        table.add_row(shortened(name), ratio, short_count(costs.params), f"{costs.epochs:,}")
    lines.append(table)
    if begun.ended or begun.diverged:
        diverged = f", {begun.diverged} diverged" if begun.diverged else ""
        lines.append(Text(f"{begun.ended} of {counted(total, 'training')} have ended{diverged}"))
    if begun.seconds_left is not None and begun.ended + begun.diverged < total:
        of = "" if begun.ended else " of training steps"
        lines.append(Text(f"about {duration(begun.seconds_left)}{of} to come"))
    return Group(*lines)


def _ratio(ratio: float | None, flag: str | None) -> str:
    """A ratio with the mark of an uncertain one; the first network's own is 1, however its time scatters."""
    return "-" if ratio is None else f"{ratio:.3g}x{f' {UNCERTAIN}' if flag else ''}"


def _equal(plan: ComparisonPlan) -> str:
    if plan.config.equal == "epochs":
        return "equal epochs"
    return f"equal time, that of {one_line(plan.config.reference)}"


# ---------------------------------------------------------------------- in the end, and so far


def comparison_screen(figures: ComparisonFigures, *, driver: str | None = None) -> RenderableType:
    """Accuracies, differences from the first network, costs, which differences are sure; fits 80 columns.

    Args:
        driver: the process that works on it now.
    """
    lines: list[RenderableType] = [Text(_basis(figures), style="bold")]
    if figures.ended:
        lines += [_accuracies(figures), Text("")]
    lines.append(_costs(figures))
    lines += [Text(line) for line in _conclusion(figures)]
    lines += [Text(note, style="dim") for note in _notes(figures)]
    if figures.ended or figures.diverged:
        picture = f"   {PICTURE_FILE}" if figures.ended else ""
        lines.append(copyable(f"{figures.run}/   {JSON_FILE}{picture}"))
    if not figures.is_complete:
        if driver is not None:
            lines.append(Text(f"{driver} works on it"))
        else:
            lines.append(copyable(f"this goes on:  {comparison_goes_on(figures.run)}"))
    return Group(*lines)


def _basis(figures: ComparisonFigures) -> str:
    left = ""
    if not figures.is_complete:
        left = f"{figures.ended} of {counted(figures.total, 'training')}"
        left += (
            f", about {duration(figures.seconds_left)} left: " if figures.seconds_left is not None else ": "
        )
    equal = "equal epochs" if figures.equal == "epochs" else f"the time of {shortened(_first(figures))}"
    return (
        f"{left}{in_words(figures.objective)} on {figures.evaluated_on} ({figures.images:,} images), "
        f"{counted(len(figures.seeds), 'seed')}, {equal}"
    )


def _first(figures: ComparisonFigures) -> str:
    return figures.networks[0].name


def _accuracies(figures: ComparisonFigures) -> Table:
    table = _table("network", in_a_word(figures.objective), "95 %", "difference", "95 %")
    for network in figures.networks:
        accuracy, against = network.accuracy, network.against_first
        table.add_row(
            shortened(network.name),
            "-" if accuracy is None else f"{accuracy.value:.4f}",
            _range(accuracy, lambda value: f"{value:.4f}"),
            "" if against is None else f"{against.difference.value:+.4f}",
            "" if against is None else _range(against.difference, lambda value: f"{value:+.4f}"),
        )
    return table


def _range(interval: Interval | None, shown: Callable[[float], str]) -> str:
    if interval is None or interval.low is None or interval.high is None:
        return "-"
    return f"{shown(interval.low)} to {shown(interval.high)}"


def _costs(figures: ComparisonFigures) -> Table:
    table = _table("network", "step time", "spread", "parameters", "MACs", "epochs", "a training")
    for i, network in enumerate(figures.networks):
        spread = network.step_time_ratio_spread
        table.add_row(
            shortened(network.name),
            _ratio(network.step_time_ratio, network.timing_flag if i else None),
            "" if spread is None else percent(spread, digits=1),
            short_count(network.params),
            short_count(network.macs),
            f"{network.epochs:,}",
            "-" if network.seconds is None else precise_duration(network.seconds),
        )
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _conclusion(figures: ComparisonFigures) -> list[str]:
    """Sentences that say which networks surely differ from the first one, and of which that is open.

    None while trainings are left: whoever may stop at any time would stop at what chance makes sure.
    """
    others = [each for each in figures.networks if each.against_first is not None]
    if not others:
        return []
    if not figures.is_complete:
        return ["which differences are sure is said when no training is left"]
    first = shortened(_first(figures))
    by = "" if figures.objective == ACCURACY else f" (by {in_words(figures.objective)})"
    better = [each for each in others if _is_sure(each) and _value(each) > 0]
    worse = [each for each in others if _is_sure(each) and _value(each) < 0]
    open_ = [each for each in others if not _is_sure(each)]
    lines = []
    for word, found in (("more", better), ("less", worse)):
        if found:
            lines.append(f"surely {word} accurate{by} than {first}: {_names(found)}")
    if open_:
        lines.append(f"no sure difference from {first}: {_names(open_)}")
    return lines


def _is_sure(network: NetworkFigures) -> bool:
    return network.against_first is not None and network.against_first.is_sure


def _value(network: NetworkFigures) -> float:
    return network.against_first.difference.value if network.against_first is not None else 0.0


def _names(networks: Sequence[NetworkFigures]) -> str:
    return some([shortened(each.name) for each in networks], most=8)


def _notes(figures: ComparisonFigures) -> list[str]:
    conditions, found = figures.conditions, []
    compared = [each.against_first for each in figures.networks if each.against_first is not None]
    threads = "one thread, " if conditions.threads else ""
    found.append(
        f"Step time, over that of {shortened(_first(figures))}: {threads}{conditions.precision}, batch "
        f"{conditions.batch_size} at {conditions.resolution} px, {conditions.device_name}."
    )
    if any(each.p_value is not None for each in compared):
        found += [
            "Differences are means over pairs of equal seeds; each interval is Student's.",
        ]
        if figures.is_complete:
            found.append(
                f"Surely: by Holm's correction over {counted(len(compared), 'comparison')}, wrong in "
                f"{percent(figures.significance)} of cases at most."
            )
    elif compared and all(each.pairs == 1 for each in compared):
        found.append("One seed does not tell how trainings vary, so there are no intervals.")
    elif compared:
        found.append("Differences are the same for all seeds, so there are no intervals: images are few.")
    found += _notes_on_diverged(figures)
    counts = [len(each.trainings) for each in figures.networks]
    if len(set(counts)) > 1:
        names = [shortened(each.name) for each in figures.networks]
        each = [f"{name} {number}" for name, number in zip(names, counts, strict=True)]
        so_far = "" if figures.is_complete else " so far"
        found.append(f"Seeds{so_far}: {', '.join(each)}.")
    if figures.image_error:
        found.append(
            f"Intervals are over seeds; by {figures.images:,} images an accuracy has a standard error of "
            f"{figures.image_error:.2g}."
        )
    if figures.evaluated_on == "minival" and figures.ended:
        found.append(_note_on_minival(figures))
    if any(each.timing_flag for each in figures.networks[1:]):
        found.append(UNCERTAIN_NOTE)
    return found + _notes_on_trainings(figures)


def _notes_on_diverged(figures: ComparisonFigures) -> list[str]:
    named = [
        f"{shortened(network.name)} seed {each.seed} ({one_line(each.reason)})"
        for network in figures.networks
        for each in network.diverged
    ]
    if not named:
        return []
    return [
        f"Diverged, and left out with their pairs: {some(named, most=8)}. A training is tried again when its "
        "folder has been removed."
    ]


def _note_on_minival(figures: ComparisonFigures) -> str:
    epochs = {each.epochs for network in figures.networks for each in network.trainings}
    more = ", more so after more epochs" if len(epochs) > 1 else ""
    return f"Minival has chosen the epochs, too: accuracies are a little high{more} (see --test)."


def _notes_on_trainings(figures: ComparisonFigures) -> list[str]:
    trained = [each for network in figures.networks for each in network.trainings]
    found = []
    devices = sorted({each.device_name for each in trained})
    if len(devices) > 1:
        found.append(f"Trained on different devices, so that seconds do not compare: {some(devices)}.")
    threads = sorted({each.threads for each in trained})
    if len(threads) > 1:
        numbers = " and ".join(map(str, threads))
        found.append(f"Trained with {numbers} threads, each as a short probe chose: seconds depend on that.")
    if any(each.stopped_early for each in trained):
        lengths = [each.epochs for each in trained]
        found.append(f"Ended early, by --patience: {min(lengths)} to {max(lengths)} epochs.")
    if figures.equal == "time":
        found += _notes_on_time(figures)
    return found


def _notes_on_time(figures: ComparisonFigures) -> list[str]:
    first, *others = (each.seconds for each in figures.networks)
    shares = [each / first for each in others if first and each is not None]
    if not shares:
        return []
    low, high = three_figures(min(shares)), three_figures(max(shares))
    times = low if low == high else f"{low} to {high}"
    return [f"Equal time: trainings took {times} times the first network's seconds (whole epochs)."]
