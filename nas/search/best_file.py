"""Architectures of recorded trials: as objects, and as best.yaml with where they come from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.finalists import Finalist, Standing
from analysis.headline import Headline, headline
from analysis.numbers import counted
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import yaml_text
from trials.images.data_record import read_facts
from trials.log.row_types import TrialRow, measured
from trials.log.rows import architecture_from_json
from trials.objective import ACCURACY

# Columns of the row that go into the file, under their own names.
PROVENANCE = (
    "trial_id", "architecture_id", "reward", "accuracy", "step_time_ratio", "step_seconds", "params", "macs",
    "objective", "epochs", "resolution", "batch_size", "precision", "device_name", "strategy", "seed",
)  # fmt: skip


def best_yaml(row: TrialRow, *, run: Path, file: Path | str, standing: Standing | None = None) -> str:
    """The text of a file with a row's architecture and its figures: of a finalist, those of its trainings.

    Its first line is the command that shows the file.
    """
    found = headline(row, standing)
    header = (
        f"nas describe {file}\n"
        f"Trial {row['trial_id']} of the run {run.name}: {found.objective_words} on minival after "
        f"{counted(found.epochs, 'epoch')},\n"
        f"step time {found.step_time_ratio:.3f}x the reference{found.uncertain_words}, "
        f"{row['params']:,} parameters, reward {found.reward:.4f},\n"
        f"{found.basis}"
    )
    if found.is_repeated:
        header += f"\n({found.intervals})"
    provenance = provenance_of(row, run=run, standing=standing)
    return yaml_text(architecture_of(row, provenance=provenance), header=header)


def provenance_of(row: TrialRow, *, run: Path, standing: Standing | None = None) -> dict[str, Any]:
    """Origin of a row's architecture: its run and trial, and what was measured of it.

    Reward, accuracy, step time and epochs of a finalist are those of its trainings; what selected it has
    names of its own.
    """
    provenance: dict[str, Any] = {"run": run.name}
    provenance |= {name: value for name in PROVENANCE if (value := row.get(name)) is not None}
    found = headline(row, standing)
    provenance[found.objective] = found.objective_value
    if found.uncertain is not None:
        provenance["uncertain_step_time"] = found.uncertain
    if standing is not None:
        provenance |= _of_trainings(found, standing.finalist)
    data = read_facts(run)
    # Without a record of images the classes follow from the parameters, for which the network is counted.
    if (classes := _counted_classes(row) if data is None else len(data.classes)) is not None:
        provenance["num_classes"] = classes
    if data is not None:
        provenance["data"] = {"source": data.source, "digest": data.digest, "classes": list(data.classes)}
    if row["finished_at"] is not None:  # a cached trial ran nowhere
        provenance["finished_at"] = row["finished_at"].isoformat(timespec="seconds")
    return provenance


def _of_trainings(found: Headline, finalist: Finalist) -> dict[str, Any]:
    """A finalist's figures: means, intervals and each training's; and those of the trial that selected it."""
    means = {name: getattr(found, name) for name in ("reward", "accuracy", "step_time_ratio", "step_seconds")}
    figures: dict[str, Any] = {name: value for name, value in means.items() if value is not None}
    if found.epochs:
        figures["epochs"] = found.epochs
    figures["trainings"] = found.trainings
    intervals = {
        "reward_interval": found.reward_interval,
        f"{found.objective}_interval": found.objective_interval,
    }
    figures |= {
        name: [round(end, 6) for end in interval]
        for name, interval in intervals.items()
        if interval is not None
    }
    figures["repeated_rewards"] = [round(reward, 6) for reward in finalist.rewards]
    figures["repeated_accuracies"] = [round(accuracy, 6) for accuracy in finalist.accuracies]
    if finalist.objective != ACCURACY:
        figures["repeated_objective_values"] = [round(value, 6) for value in finalist.values]
    figures["selected_by"] = {"reward": finalist.selected_reward, "epochs": finalist.selected_epochs}
    return figures


def classes_of(row: TrialRow, *, run: Path) -> int:
    """Number of classes that the row's parameters were counted with.

    Raises:
        ConfigError: no number of classes gives so many parameters.
    """
    classes = _counted_classes(row)
    if classes is None:
        raise ConfigError(
            f"{run}: trial {row['trial_id']}: the log has {measured(row, 'params'):,.0f} parameters, which "
            "its architecture has with no number of classes; the row was made up or edited: take another "
            "trial, or another run"
        )
    return classes


def _counted_classes(row: TrialRow) -> int | None:
    """The number of classes with which the architecture has the row's parameters; None if there is none.

    The classifier alone depends on it: parameters are backbone + (head channels + 1) * classes.
    """
    architecture = architecture_from_json(row["architecture"])
    with_two = count(architecture, num_classes=2, resolution=int(measured(row, "resolution"))).params
    more, rest = divmod(int(measured(row, "params")) - with_two, architecture.head_channels + 1)
    return 2 + more if more >= 0 and not rest else None


def architecture_of(row: TrialRow, *, provenance: dict[str, Any] | None = None) -> Architecture:
    """The architecture that a row's trial trained."""
    return replace(architecture_from_json(row["architecture"]), provenance=provenance)
