"""Facts of a card, all from records: of a training that has ended, its images, its evaluation, its search."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nas.events import EpochMetrics
from nas.hub.evaluated import KeptEvaluation, OtherImagesError, evaluated_now, file_digest, kept_evaluation
from nas.hub.search_facts import (
    RecordedStepTime,
    SearchFacts,
    found_run,
    search_facts,
    step_time_of,
)
from nas.hub.shown_places import shown_architecture, shown_run
from nas.training.checkpoints import METRICS, TrainingFolder
from nas.training.config import FILE, TrainingConfig, read_training
from nas.training.finished import FinishedTraining, finished_training
from nas.training.repeats import folders_of_repeats
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.shell_words import path_word
from trials.images.data_record import OF_TEST, DataFacts, has_several_labels, read_facts
from trials.log.run_places import place_of
from trials.training.weights_file import WeightsFile, load_weights

Evaluate = Callable[[Path, TrainingConfig], KeptEvaluation]


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """Everything that a card says.

    Attributes:
        evaluation: None where the images cannot be evaluated; `no_evaluation` says why.
        are_other_images: true where they are there, and others than those of the training.
        has_several_labels: true where an image of the training has more than one.
        search: None where its run is not there; `step_time` then is what the architecture's file says.
        named_run: the name of that run; None of an architecture that no search found.
    """

    folder: Path
    config: TrainingConfig
    finished: FinishedTraining
    data: DataFacts
    test: DataFacts | None
    metrics: tuple[EpochMetrics, ...]
    weights: WeightsFile
    metrics_digest: str
    evaluation: KeptEvaluation | None
    no_evaluation: str
    search: SearchFacts | None
    named_run: str | None
    step_time: RecordedStepTime | None
    are_other_images: bool = False
    has_several_labels: bool = False

    @property
    def architecture(self) -> Architecture:
        """The architecture, with its provenance as it is shown to others."""
        return shown_architecture(self.config.architecture)

    @property
    def weights_path(self) -> Path:
        """The file of the best weights."""
        return TrainingFolder(self.folder).weights("best")

    @property
    def place(self) -> str:
        """The training as it is typed in commands."""
        return place_of(self.folder)


def card_facts(folder: Path, *, run: Path | None = None, evaluate: Evaluate = evaluated_now) -> CardFacts:
    """The facts of a training that has ended.

    Args:
        run: of the search that found the architecture; None: it is looked for by its recorded name.
        evaluate: evaluates the weights where the folder keeps no evaluation of them.

    Raises:
        ConfigError: it is no training, has not ended, or a record is missing or does not read.
    """
    config, finished, weights = _read(folder)
    data = read_facts(folder)
    if data is None:
        raise ConfigError(
            f"{place_of(folder)}: its images were not recorded, as by an earlier version; train it again"
        )
    kept, reason, are_others = kept_evaluation(folder, config, weights), "", False
    if kept is None:
        try:
            kept = evaluate(folder, config)
        except ConfigError as error:  # the images are elsewhere, or others by now
            reason, are_others = str(error), isinstance(error, OtherImagesError)
    run = found_run(config.architecture, folder, given=run)
    search = None if run is None else search_facts(run, config.architecture)
    provenance = config.architecture.provenance or {}
    files = TrainingFolder(folder)
    return CardFacts(
        folder=folder,
        config=config,
        finished=finished,
        data=data,
        test=read_facts(folder, prefix=OF_TEST),
        metrics=files.read_metrics(),
        weights=weights,
        metrics_digest=file_digest(folder / METRICS),
        evaluation=kept,
        no_evaluation=reason,
        search=search,
        named_run=shown_run(str(provenance["run"])) if "run" in provenance else None,
        step_time=step_time_of(provenance) if search is None else search.step_time,
        are_other_images=are_others,
        has_several_labels=has_several_labels(folder),
    )


def _read(folder: Path) -> tuple[TrainingConfig, FinishedTraining, WeightsFile]:
    place = place_of(folder)
    if not (folder / FILE).is_file():
        repeats = folders_of_repeats(folder)
        name = f"; name one of its repeats, as {path_word(place_of(repeats[0]))}" if repeats else ""
        raise ConfigError(f"{place}: this is no training (a folder of nas train --run){name}")
    config, finished = read_training(folder), finished_training(folder)
    if finished is None:
        raise ConfigError(
            f"{place}: this training has not ended: nas train --run {path_word(place)} goes on with it"
        )
    files = TrainingFolder(folder)
    missing = [path for path in (files.weights("best"), folder / METRICS) if not path.is_file()]
    if missing:
        raise ConfigError(f"{place_of(missing[0])}: is missing; take it from a copy")
    return config, finished, load_weights(files.weights("best"), files=files.files)
