"""The card's sections on the training: its recipe and curves, and its images."""

from analysis.numbers import counted, duration
from nas.hub import names
from nas.hub.card_facts import CardFacts
from nas.hub.markdown import code, plain, table
from nas.hub.shown_places import shown_source
from search_spaces.settings.yaml_files import to_mapping
from trials.images.data_record import DataFacts

MOST_CLASSES = 100  # named in a card; of more the first ones
PACKAGES = ("training-aware-nas", "torch", "numpy", "pillow")  # on which results depend most


def training_section(facts: CardFacts) -> str:
    """Conditions, the recipe's settings, and the curves."""
    finished, config = facts.finished, facts.config
    recipe = to_mapping(config.recipe)
    rows = [(code(key), code(_setting(value))) for key, value in recipe.items() if value not in ((), [])]
    versions = ", ".join(
        f"{name} {finished.packages[name]}" for name in PACKAGES if finished.packages.get(name)
    )
    early = ", ended early by --patience" if finished.stopped_early else ""
    start = f"weights of {code(shown_source(config.init))}" if config.init is not None else "fresh weights"
    devices = f"{finished.devices} x " if finished.devices > 1 else ""
    threads = f", {counted(finished.threads, 'thread')}" if finished.threads else ""
    return "\n\n".join(
        [
            "## Training",
            f"{counted(finished.epochs, 'epoch')}{early} from {start} with seed {config.seed}, in "
            f"{duration(finished.seconds)} (training and evaluating) on "
            f"{devices}{plain(finished.device_name)} in "
            f"{finished.precision}{threads}. {f'Versions: {plain(versions)}.' if versions else ''}".strip(),
            f"![Accuracy, loss, resolution and speed by epoch]({names.CURVES})",
            f"Each epoch's figures: [{names.METRICS}]({names.METRICS}). The recipe, also in "
            f"[{names.RECIPE}]({names.RECIPE}), which `nas train --recipe` takes:",
            table(("key", "value"), rows, left=2),
        ]
    )


def data_section(facts: CardFacts) -> str:
    """Sources, numbers of images, classes and digests."""
    data, rows = facts.data, []
    for part, source, found in (
        ("training", facts.config.data.source, data),
        ("test", facts.config.test, facts.test),
    ):
        if source is None or found is None:
            continue
        images = f"{found.train:,} to train on, {found.minival:,} minival" if part == "training" else ""
        rows.append(
            (
                part,
                code(shown_source(source)),
                images or f"{found.train + found.minival:,}",
                code(f"sha256:{found.digest}"),
            )
        )
    parts = [
        "## Data",
        table(("", "source", "images", "digest of pictures, labels and class names"), rows, left=4),
        f"{_split(data)} {_fraction(facts)}".strip(),
        _classes(facts),
    ]
    if facts.config.test is None:
        parts.append("Test images: none were given to the training (`nas train --test`).")
    elif facts.test is None:
        parts.append(
            f"Test images: {code(shown_source(facts.config.test))}, of which no digest was recorded, as by "
            "an earlier version: whether they are still the same is not known."
        )
    return "\n\n".join(parts)


def _split(data: DataFacts) -> str:
    left_out = f"; {counted(len(data.unreadable), 'picture')} could not be read" if data.unreadable else ""
    decoded = f" Pixels by {plain(data.pixels_by)}." if data.pixels_by else ""
    return f"The split has the digest {code(f'sha256:{data.split_digest}')}{left_out}.{decoded}"


def _fraction(facts: CardFacts) -> str:
    share = facts.config.data.fraction
    return f"A share of {share:g} of the source's images was used." if share < 1 else ""


def _classes(facts: CardFacts) -> str:
    data = facts.data
    counts = data.images_of_classes or tuple(0 for _ in data.classes)
    shown = [
        f"{plain(name)} ({count:,})"
        for name, count in zip(data.classes[:MOST_CLASSES], counts[:MOST_CLASSES], strict=True)
    ]
    more = len(data.classes) - len(shown)
    end = f", and {more:,} more: all are in the weights file." if more else "."
    return f"{len(data.classes):,} classes, with their images: {', '.join(shown)}{end}"


def _setting(value: object) -> str:
    """A value of a recipe as text in one line, nothing and truth as YAML has them."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_setting(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_setting, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
