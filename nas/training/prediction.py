"""Trained weights on a folder of pictures: their predicted classes."""

import csv
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from nas.training.evaluation import BATCH, inference_device
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.output_files import writing
from search_spaces.settings.sentences import first_line, plain_name
from trials.augmentation.augment import to_input
from trials.devices.arithmetic import autocast
from trials.devices.device import lock_of
from trials.devices.sharing import give_way, training
from trials.images.decode import KINDS_READ, MAX_PIXELS, SUFFIXES, UnreadablePictureError, decode
from trials.images.listing import list_folder
from trials.pictures import PictureView
from trials.training.weights_file import WeightsFile

TOP = 5
NO_PICTURE = "not read"  # begins the reason of a file that is not taken for a picture, by its name
KEPT = ("path", "prediction", "probability")  # columns that have one value in a row


def predict_folder(
    weights: WeightsFile,
    folder: Path,
    *,
    resolution: int,
    max_pixels: int | None = None,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> pd.DataFrame:
    """One row for each file in a folder and below it, also behind links, by name; none for hidden ones.

    Columns: path (below the folder), prediction, probability, the five likeliest classes and their
    probabilities as lists, and error, which says why a file has no prediction (all else is null then).

    Raises:
        ConfigError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder")
    paths = [folder / file.relative for file in list_folder(folder).files]
    if not any(path.suffix.lower() in SUFFIXES for path in paths):
        raise ConfigError(f"{folder}: no picture in it ({KINDS_READ})")
    rows: list[dict[str, object]] = []
    device = inference_device()
    with training(lock_of(device)) as lock:
        predicted = _predicted(
            weights, folder, paths, resolution=resolution, max_pixels=max_pixels or MAX_PIXELS, device=device
        )
        for found in predicted:
            rows += found
            on_progress(len(rows), len(paths))
            give_way(lock)  # whoever times something on the device goes first
    return pd.DataFrame(
        rows,
        columns=[*KEPT, "top_classes", "top_probabilities", "error"],
    )


def _predicted(
    weights: WeightsFile,
    folder: Path,
    paths: list[Path],
    *,
    resolution: int,
    max_pixels: int,
    device: torch.device,
) -> Iterator[list[dict[str, object]]]:
    """The rows of each batch of files."""
    network = weights.network().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval()
    classes = tuple(map(plain_name, weights.classes))
    for chunk in _chunks(paths):
        rows: list[dict[str, object]] = []
        decoded = [_decoded(path, resolution, max_pixels, weights.view(resolution)) for path in chunk]
        pixels = [picture for picture in decoded if isinstance(picture, np.ndarray)]
        probabilities: Iterator[np.ndarray] = iter(())
        if pixels:
            with torch.inference_mode(), autocast("fp32", device):
                logits = network(to_input(torch.from_numpy(np.stack(pixels)).to(device))).float()
            probabilities = iter(logits.softmax(dim=1).cpu().numpy())
        for path, picture in zip(chunk, decoded, strict=True):
            row: dict[str, object] = {"path": plain_name(path.relative_to(folder).as_posix())}
            if isinstance(picture, str):
                rows.append({**row, "error": picture})
                continue
            likely = next(probabilities)
            order = np.argsort(-likely, kind="stable")[:TOP]
            rows.append(
                {
                    **row,
                    "prediction": classes[order[0]],
                    "probability": float(likely[order[0]]),
                    "top_classes": [classes[i] for i in order],
                    "top_probabilities": [float(likely[i]) for i in order],
                    "error": None,
                }
            )
        yield rows


def refuse_other_than_table(output: Path) -> None:
    """Refuses a name under which predictions are not written.

    Raises:
        ConfigError: it ends in neither .parquet nor .csv.
    """
    if output.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{output}: a name that ends in .parquet or .csv is expected")


def write_predictions(frame: pd.DataFrame, output: Path) -> None:
    """Writes predictions as Parquet or CSV, by the file's ending.

    CSV has no lists: the likeliest classes are columns of their own, class_1, probability_1 to class_5,
    probability_5, empty beyond the number of classes. All text is in quotes, whatever a class is called.

    Raises:
        ConfigError: another kind of name, or it cannot be written.
    """
    refuse_other_than_table(output)
    with writing(output):
        if output.suffix == ".csv":
            _flat(frame).to_csv(output, index=False, quoting=csv.QUOTE_NONNUMERIC)
        else:
            frame.to_parquet(output, index=False)


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with a column for each place of the lists, in the lists' place."""

    def at(name: str, place: int) -> list[object]:
        lists = [each if isinstance(each, list) else [] for each in frame[name]]
        return [each[place] if place < len(each) else None for each in lists]

    columns: dict[str, list[object]] = {name: list(frame[name]) for name in KEPT}
    for i in range(TOP):
        columns[f"class_{i + 1}"] = at("top_classes", i)
        columns[f"probability_{i + 1}"] = at("top_probabilities", i)
    return pd.DataFrame({**columns, "error": list(frame["error"])})


def _chunks(paths: list[Path]) -> Iterator[list[Path]]:
    for start in range(0, len(paths), BATCH):
        yield paths[start : start + BATCH]


def _decoded(path: Path, resolution: int, max_pixels: int, view: PictureView) -> np.ndarray | str:
    """Pixels (R, R, 3) uint8, or why there are none."""
    if path.suffix.lower() not in SUFFIXES:
        return f"{NO_PICTURE}: {path.suffix or 'no suffix'}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about odd metadata
            return decode(path.read_bytes(), resolution, max_pixels=max_pixels, view=view)
    except FileNotFoundError:
        return "the file is gone"
    except (OSError, UnreadablePictureError) as error:
        return first_line(error)
