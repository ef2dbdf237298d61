"""The card of a trained network: Markdown with the metadata of the Hub, complete by construction.

Every figure is from a record (`card_facts`); a section of what was not done says so, and names its command.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from analysis.intervals import share
from analysis.numbers import percent, short_count
from nas.hub import names
from nas.hub.card_facts import CardFacts
from nas.hub.card_loading import loading_section
from nas.hub.card_origin import architecture_section, digests_section, search_section, step_time_section
from nas.hub.card_results import calibration_section, confusion_section, results_section
from nas.hub.card_training import data_section, training_section
from nas.hub.markdown import code, plain
from nas.hub.shown_places import dataset_of, shown_source
from search_spaces.networks.figures import architecture_figures
from search_spaces.settings.yaml_files import yaml_text
from trials.objective import ACCURACY, in_words

LIBRARY = "training-aware-nas"


@dataclass(frozen=True, kw_only=True)
class Handing:
    """The terms on which a network is handed on.

    Attributes:
        place: a repository's name, or the name of a folder, as the card's loaders take it.
        license_: None in a preview alone.
        onnx: whether an ONNX file is written, too.
    """

    place: str
    license_: str | None
    license_link: str | None = None
    onnx: bool = False

    @property
    def title(self) -> str:
        """The last part of the place, also the folder into which it is pulled."""
        return self.place.rpartition("/")[2]

    @property
    def is_repository(self) -> bool:
        """True of a place on the Hub; folders are named without those above them."""
        return "/" in self.place


def card_text(facts: CardFacts, handing: Handing, files: Collection[str]) -> str:
    """The card: metadata between two lines of hyphens, then sections; `files` lie beside it."""
    sections = [
        f"# {plain(handing.title)}",
        _summary(facts),
        loading_section(facts, place=handing.place, files=files, is_repository=handing.is_repository),
        results_section(facts, folder=handing.title),
        confusion_section(facts),
        calibration_section(facts),
        _use_section(facts),
        training_section(facts),
        data_section(facts),
        architecture_section(facts),
        step_time_section(facts),
        search_section(facts),
        digests_section(facts),
        _license_section(handing),
    ]
    return f"---\n{yaml_text(_metadata(facts, handing, files))}---\n\n" + "\n\n".join(sections) + "\n"


def _metadata(facts: CardFacts, handing: Handing, files: Collection[str]) -> dict[str, Any]:
    """The metadata by which the Hub finds and shows a model."""
    found: dict[str, Any] = {}
    if handing.license_ is not None:
        found["license"] = handing.license_
    if handing.license_link is not None:
        found |= {"license_name": "other", "license_link": handing.license_link}
    found |= {
        "library_name": LIBRARY,
        "pipeline_tag": "image-classification",
        "tags": [
            "image-classification",
            "neural-architecture-search",
            "pytorch",
            *(["timm"] if names.TIMM in files else []),
            *(["onnx"] if names.ONNX in files else []),
        ],
        "metrics": ["accuracy"],
    }
    if (dataset := dataset_of(facts.config.data.source)) is not None:
        found["datasets"] = [dataset]
    part = "minival" if facts.finished.test_accuracy is None else "test"
    images = facts.config.test if part == "test" else facts.config.data.source
    tested = facts.finished.test_accuracy
    value = facts.finished.accuracy if tested is None else tested
    result: dict[str, Any] = {
        "task": {"type": "image-classification"},
        "dataset": {"name": shown_source(images or ""), "type": "images", "split": part},
        "metrics": [{"type": "accuracy", "value": round(value, 6), "name": f"accuracy on {part} images"}],
    }
    objective = facts.finished.objective
    if objective != ACCURACY:
        shown = round(facts.finished.final_value, 6)
        named = f"{in_words(objective)} on {part} images"
        result["metrics"].append({"type": objective, "value": shown, "name": named})
    found["model-index"] = [{"name": handing.title, "results": [result]}]
    return found


def _summary(facts: CardFacts) -> str:
    weights, finished = facts.weights, facts.finished
    figures = architecture_figures(
        weights.architecture,
        name=facts.place,
        num_classes=weights.num_classes,
        resolution=weights.resolution,
    )
    found = facts.named_run is not None or facts.search is not None
    origin = "found by neural architecture search with training-aware-nas" if found else "given as a file"
    part, value, images = (
        ("minival", finished.accuracy, facts.data.minival)
        if finished.test_accuracy is None
        else ("test", finished.test_accuracy, finished.test_images or 0)
    )
    interval = share(round(value * images), images)
    return (
        f"An image classifier of {weights.num_classes:,} classes, {short_count(figures.params)} parameters "
        "and "
        f"{short_count(figures.macs)} MACs at {weights.resolution} px. Its architecture was {origin}. "
        "Accuracy "
        f"on {images:,} {part} images: **{percent(value, digits=1)}** (95 %: "
        f"{percent(interval.low, digits=1)} "
        f"to {percent(interval.high, digits=1)})."
    )


def _use_section(facts: CardFacts) -> str:
    """Intended use and limits, as far as the records tell them."""
    few = min(facts.data.images_of_classes, default=0)
    lines = [
        "## Use and limits",
        "",
        f"- It names one of {facts.weights.num_classes:,} classes for every picture, also for one that shows "
        "none of them.",
        f"- It has learnt from {facts.data.train:,} images of one source; the class with the fewest has "
        f"{few:,} in all.{_start_words(facts)} Accuracy on other images is not known: "
        "`nas evaluate` with labelled ones of yours tells.",
        "- The figures above are all that was measured: nothing is known of groups of people or places "
        "within "
        "the classes.",
    ]
    if facts.finished.test_accuracy is None:
        lines.append(
            "- No test images were read: minival has also chosen the epoch, so its accuracy is a little high."
        )
    return "\n".join(lines)


def _start_words(facts: CardFacts) -> str:
    if facts.config.init is None:
        return ""
    return (
        f" Its training began from the weights {code(shown_source(facts.config.init))}: what these had "
        "learnt from is not recorded here."
    )


def _license_section(handing: Handing) -> str:
    if handing.license_ is None:
        said = "No licence was given: this is a preview. `--license` is needed to hand the network on."
    elif handing.license_ == "other":
        said = f"Another licence: its text is at <{handing.license_link}>."
    else:
        said = f"The weights are licensed under {code(handing.license_)}, as whoever handed them on has said."
    return f"## Licence\n\n{said}"
