"""The folder of a network that is handed on: written from a training's records, checked when it comes back.

What names a place of its owner's machine is left out: paths, host, typed commands.
"""

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from safetensors.torch import save

from nas.hub import names
from nas.hub.card import Handing, card_text
from nas.hub.card_facts import CardFacts
from nas.hub.card_loading import timm_refusal
from nas.hub.evaluated import evaluation_record, file_digest
from nas.hub.shown_places import shown_weights
from nas.interchange.export_formats import export_source
from nas.training.checkpoints import METRICS, TrainingFolder
from nas.training.evaluation_pictures import draw_calibration, draw_confusion
from nas.training.picture import draw_training
from search_spaces.interchange.files import to_text
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_records import read_record
from search_spaces.settings.yaml_files import read_yaml, to_mapping, yaml_text
from trials.recipe import Recipe
from trials.training.foreign_weights import foreign_state
from trials.training.weights_file import load_weights, save_tensors

FORMAT = "training-aware-nas/hub-1"


def card_preview(facts: CardFacts, handing: Handing) -> str:
    """The card that `write_folder` would write; no file is written."""
    files = [*names.NEEDED]
    if facts.evaluation is not None:
        files += [names.CONFUSION, names.CALIBRATION]
    if not timm_refusal(facts):
        files += [names.TIMM, names.TIMM_WEIGHTS]
    if handing.onnx:
        files.append(names.ONNX)
    return card_text(facts, handing, files)


def write_folder(facts: CardFacts, folder: Path, handing: Handing) -> tuple[str, ...]:
    """Writes all files into an empty folder, reads them back, and returns their names, the manifest last.

    Raises:
        ConfigError: one of them cannot be written, or ONNX's packages are missing.
    """
    (folder / names.WEIGHTS).parent.mkdir(parents=True)
    _write_weights(facts, folder)
    _write_records(facts, folder)
    _write_pictures(facts, folder, handing)
    if not timm_refusal(facts):
        _write_timm(facts, folder)
    if handing.onnx:
        path = folder / names.ONNX
        export_source(str(folder / names.WEIGHTS), "onnx", trial=None, output=path, force=False)
    written = [name for name in names.FILES if (folder / name).is_file()]
    (folder / names.CARD).write_text(card_text(facts, handing, written), encoding="utf-8")
    written = [name for name in names.FILES if (folder / name).is_file()]
    manifest = {
        "format": FORMAT,
        "files": {
            name: {"sha256": file_digest(folder / name), "bytes": (folder / name).stat().st_size}
            for name in written
        },
    }
    (folder / names.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    check_folder(folder)
    return (*written, names.MANIFEST)


def manifest_of(folder: Path, *, name: str) -> dict[str, tuple[str, int]]:
    """SHA-256 and bytes of each file, by its name, as a folder's manifest has them.

    Args:
        name: of what it belongs to, for messages.

    Raises:
        ConfigError: there is none, it is damaged, of a later version, or names other files than `FILES`.
    """
    try:
        found = read_record(folder / names.MANIFEST, _manifest, if_damaged="take another copy")
    except ConfigError as error:
        raise ConfigError(
            f"{name}: {names.MANIFEST}: {str(error).rpartition(f'{names.MANIFEST}: ')[2]}"
        ) from None
    if found is None:
        raise ConfigError(f"{name}: holds no network that nas push has written ({names.MANIFEST} is missing)")
    if unknown := [each for each in found if each not in names.FILES]:
        raise ConfigError(
            f"{name}: {names.MANIFEST}: {unknown[0]!r} is no file of a network; take another copy"
        )
    if missing := [each for each in names.NEEDED if each not in found]:
        raise ConfigError(f"{name}: {names.MANIFEST}: {missing[0]} is missing; take another copy")
    return found


def check_digests(folder: Path, *, name: str, only: Collection[str] = names.FILES) -> None:
    """Compares all files of a folder, or `only` some, with its manifest.

    Raises:
        ConfigError: one is missing or damaged.
    """
    for each, (digest, size) in manifest_of(folder, name=name).items():
        if each not in only:
            continue
        path = folder / each
        if path.is_symlink() or not path.is_file():
            raise ConfigError(f"{name}: {each} is missing; take another copy")
        if path.stat().st_size != size or file_digest(path) != digest:
            raise ConfigError(f"{name}: {each}: damaged: not as the manifest has it; take another copy")


def check_folder(folder: Path, *, name: str | None = None) -> None:
    """Compares all files of a folder with its manifest, and reads them.

    Raises:
        ConfigError: one is missing or damaged, or they contradict each other.
    """
    name = name or str(folder)
    check_digests(folder, name=name)
    weights = load_weights(folder / names.WEIGHTS)
    architecture = read_yaml(Architecture, folder / names.ARCHITECTURE)
    if architecture.without_provenance() != weights.architecture:
        raise ConfigError(f"{name}: {names.ARCHITECTURE} is not that of {names.WEIGHTS}; take another copy")
    read_yaml(Recipe, folder / names.RECIPE, recorded=True)


def _manifest(record: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    if record["format"] != FORMAT:
        raise ValueError("of another version")
    found = {}
    for name, facts in record["files"].items():
        digest, size = facts["sha256"], facts["bytes"]
        if not isinstance(digest, str) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ValueError("no digest")
        found[str(name)] = (digest, size)
    return found


def _write_weights(facts: CardFacts, folder: Path) -> None:
    weights = shown_weights(facts.weights)
    described = {"architecture": to_mapping(weights.architecture), **weights.facts}
    save_tensors(folder / names.WEIGHTS, weights.tensors, described)


def _write_records(facts: CardFacts, folder: Path) -> None:
    architecture = yaml_text(facts.architecture, header=f"nas describe {names.ARCHITECTURE}")
    (folder / names.ARCHITECTURE).write_text(architecture, encoding="utf-8")
    recipe = yaml_text(facts.config.recipe, header=f"nas train {names.ARCHITECTURE} --recipe {names.RECIPE}")
    (folder / names.RECIPE).write_text(recipe, encoding="utf-8")
    results = {
        "training": asdict(facts.finished),
        "seed": facts.config.seed,
        "data": {"digest": facts.data.digest, "split_digest": facts.data.split_digest},
        "test": None if facts.test is None else {"digest": facts.test.digest},
        "evaluation": None if facts.evaluation is None else evaluation_record(facts.evaluation),
        "search": None if facts.search is None else asdict(facts.search),
    }
    text = json.dumps(_finite(results), indent=1, default=str, allow_nan=False)
    (folder / names.RESULTS).write_text(text + "\n", encoding="utf-8")
    shutil.copyfile(facts.folder / METRICS, folder / names.METRICS)


def _finite(value: Any) -> Any:
    """Plain values in which numbers that JSON has not, as the loss of a network that diverged, are None."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _write_pictures(facts: CardFacts, folder: Path, handing: Handing) -> None:
    title = handing.place
    draw_training(facts.metrics, folder / names.CURVES, title=title, objective=facts.config.objective)
    if (kept := facts.evaluation) is not None:
        on = f"{title}: {kept.evaluation.images:,} {kept.part} images"
        draw_confusion(kept.evaluation, folder / names.CONFUSION, title=on)
        draw_calibration(kept.calibration, folder / names.CALIBRATION, title=on)


def _write_timm(facts: CardFacts, folder: Path) -> None:
    weights = facts.weights
    (folder / names.TIMM).write_text(to_text("timm", weights.architecture), encoding="utf-8")
    state = foreign_state(weights.network(), weights.architecture, "timm")
    plain = {name: tensor.contiguous() for name, tensor in state.items()}
    (folder / names.TIMM_WEIGHTS).write_bytes(save(plain))


def best_weights_in(folder: Path) -> Path | None:
    """The weights of a training, or of a network that was handed on; None of another folder."""
    path = TrainingFolder(folder).weights("best")
    return path if path.is_file() else None
