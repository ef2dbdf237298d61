"""Space and images that were searched, the conditions, and the commands that do it again."""

from numbers import Integral
from shlex import quote
from typing import Any

import pandas as pd

from analysis.ranking import searched
from nas.report.facts import RunFacts, formula_markup
from nas.report.markup import Markup, details, join, table, tag
from nas.training.suited_recipe import training_command
from trials.log.file_names import BEST_FILE, SEARCH_FILE
from trials.log.run_places import place_of

CONDITIONS = {
    "device_name": "trained on",
    "precision": "precision",
    "precision_reason": "in that precision because",
    "batch_size": "batch size, images",
    "resolution": "resolution, px",
    "epochs": "epochs",
    "timing_device": "step time measured on",
    "timing_resolution": "step time at, px",
    "timing_batch_size": "step time of a batch of, images",
    "timing_precision": "step time in",
    "timing_mode": "steps timed as",
    "kernels": "kernels between convolutions",
    "minival_images": "minival, images",
    "reference_step_seconds": "reference network's step, s",
    "reference_params": "reference network's parameters",
    "reference_macs": "reference network's MACs",
}


def searched_section(facts: RunFacts) -> Markup:
    """The space, the images, the strategy, the reward and the budget."""
    config, trials = facts.config, facts.trials
    size = config.space.num_architectures or config.space.size
    settings = ", ".join(f"{key} {value}" for key, value in config.strategy.written.items() if key != "name")
    ended = ", ".join(f"{count:,} {status}" for status, count in trials["status"].value_counts().items())
    purposes = ", ".join(
        f"{count:,} {purpose}" for purpose, count in trials["purpose"].value_counts().items()
    )
    budget = ", ".join(f"{value:,} {key}" for key, value in vars(config.budget).items() if value is not None)
    lines: list[tuple[str, Any]] = [
        ("space", f"{size:,} architectures of {len(config.space.stages)} stages"),
        ("images", config.data.source),
        ("strategy", config.strategy.name + (f" ({settings})" if settings else "")),
        ("reward", formula_markup(facts.terms, facts.config.objective)),
        ("a trial", f"{config.recipe.epochs} epochs, batch size {config.recipe.batch_size}"),
        ("budget", budget),
        ("rows", f"{len(trials):,}: {ended}"),
        ("purposes", purposes),
    ]
    return table(("", ""), lines, left=2)


def conditions_section(facts: RunFacts) -> Markup:
    """Devices, precision, sizes; what differs between rows is said."""
    rows = searched(facts.trials)
    lines = [(words, values_in_words(rows[name])) for name, words in CONDITIONS.items()]
    for last in facts.environments[-1:]:
        names = ("host", "platform", "python", "cuda", "cpu")
        lines += [(name, value) for name in names if (value := getattr(last, name)) is not None]
        lines.append(("packages", ", ".join(f"{name} {each}" for name, each in last.packages.items())))
    return table(("", ""), [line for line in lines if line[1]], left=2)


def values_in_words(column: pd.Series) -> str:
    """The column's value, or how many it has."""
    found = column.dropna().value_counts()
    if found.empty:
        return ""
    shown = [_short(value) for value in found.index[:3]]
    if len(found) == 1:
        return shown[0]
    if pd.api.types.is_float_dtype(column):  # a measured one: it varies by itself
        return f"{column.median():.5g} (median)"
    return f"{', '.join(shown)}{', …' if len(found) > 3 else ''} (differs between trials)"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return f"{value:,}" if isinstance(value, Integral) else str(value)


def _training_command(facts: RunFacts) -> str:
    file, data = f"{place_of(facts.folder)}/{BEST_FILE}", facts.config.data.source
    if facts.architecture is None:
        return f"nas train {quote(file)} --data {quote(data)}"
    resolution = facts.config.recipe.last_resolution
    return training_command(
        file,
        facts.architecture,
        resolution=resolution,
        data=data,
        objective=facts.config.objective,
        class_weights=facts.config.recipe.class_weights,
    )


def reproduce_section(facts: RunFacts) -> Markup:
    """The commands, and the whole search file."""
    run, seed = facts.typed, facts.config.seed
    search_file = quote(f"{place_of(facts.folder)}/{SEARCH_FILE}")
    commands = {
        f"nas search {search_file} --run runs/again": f"seed {seed}; rewards vary as the noise above",
        f"nas export {run} -o winner.yaml": "the winner, with where it comes from",
        _training_command(facts): "full training",
        f"nas measure --run {run}": "its step times on another device",
    }
    width = max(map(len, commands))
    text = "\n".join(f"{command:<{width}}   # {what}" for command, what in commands.items())
    parts = [tag("pre", text)]
    typed = [start.command for start in facts.environments if start.command is not None]
    text = (facts.folder / SEARCH_FILE).read_text(encoding="utf-8", errors="replace")
    if typed:
        parts.append(details("How it was started", tag("pre", "\n".join(typed))))
    return join([*parts, details(f"The whole search file ({SEARCH_FILE})", tag("pre", text))])
