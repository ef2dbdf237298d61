"""Cautions: differences between compared runs that their rewards do not show."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from nas.report.facts import RunFacts
from nas.report.side_by_side.sides import Side, Sides, devices_of, images_of


def cautions(found: Sides) -> tuple[str, ...]:
    """Sentences about differences that the reward does not show; nothing of runs that do not compare."""
    return tuple(_cautions(found)) if len(found.compared) > 1 else ()


def _cautions(found: Sides) -> Iterator[str]:
    sides = found.compared
    for side in sides:
        if side.own_reward is not None:
            yield (
                f"{side.label} searched by another reward, {side.own_reward}; its rewards here are computed "
                "again, and its strategy did not try to raise them."
            )
    timed = _by_value(sides, lambda facts: ", ".join(devices_of(facts)["timing_device"]))
    if len(timed) > 1 and found.terms.get("step_time_ratio"):
        yield (
            f"Step times were measured on different devices: {_said(timed)}. Each reward holds its own "
            "device's; --reward step_time_ratio=0 leaves them out."
        )
    trained = _by_value(sides, lambda facts: ", ".join(devices_of(facts)["device_name"]))
    if len(trained) > 1:
        yield f"Trials ran on different devices: {_said(trained)}. Equal device time is not equal work."
    epochs = _by_value(sides, lambda facts: str(facts.config.recipe.epochs))
    if len(epochs) > 1:
        yield (
            f"Trials train for different numbers of epochs: {_said(epochs)}. A longer trial's reward is "
            "higher by its length alone; finalists' trainings of equal length compare networks."
        )
    longer = _by_value(sides, lambda facts: str(_finalist_epochs(facts) or ""))
    if len(longer) > 1:
        yield (
            f"Finalists were trained for different numbers of epochs: {_said(longer)}. They are not compared."
        )
    images = [images_of(side.facts) for side in sides]
    if not all(each.are_split_as(images[0]) for each in images):
        yield "Accuracies are of different parts of the same images: minival is not the same in all runs."
    if warm := [
        f"{side.label} ({side.facts.config.warm_start})" for side in sides if side.facts.config.warm_start
    ]:
        yield f"Began with what an earlier run had found, whose cost is not counted: {', '.join(warm)}."


def _finalist_epochs(facts: RunFacts) -> int:
    return facts.standings[0].finalist.epochs if facts.standings else 0


def _by_value(sides: Iterable[Side], value: Callable[[RunFacts], str]) -> dict[str, list[str]]:
    """Labels by what their runs have; runs that have nothing are left out."""
    found: dict[str, list[str]] = {}
    for side in sides:
        if text := value(side.facts):
            found.setdefault(text, []).append(side.label)
    return found


def _said(by_value: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{value} ({', '.join(labels)})" for value, labels in by_value.items())
