"""One training on two GPUs against one: images per second of `nas train --devices`."""

import shutil
import subprocess
from collections.abc import Iterator

import pandas as pd
import torch
from benchmarks.gpu.conditions import Conditions, NotHereError
from benchmarks.gpu.facts import ROOT
from benchmarks.gpu.figures import Row, several
from benchmarks.gpu.made_up_images import image_file
from benchmarks.gpu.whole_search import NAS

from nas.training.checkpoints import METRICS

EPOCHS = 3


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields seconds of an epoch for one and for two devices.

    Raises:
        NotHereError: there are not two GPUs.
    """
    gpus = torch.cuda.device_count()
    if not conditions.rehearse and gpus < 2:
        raise NotHereError(f"{gpus} GPU here; `nas train --devices 2` needs two")
    medians = []
    for devices in (1, 2):
        epochs = trained(conditions, devices)
        seconds = several(list(epochs["train_seconds"].iloc[1:]))  # the first one records graphs
        medians.append(seconds.median)
        yield Row(
            f"--devices {devices}", {"s an epoch": seconds, "loss in the end": epochs["train_loss"].iloc[-1]}
        )
    ratio = medians[0] / medians[1]
    yield Row(
        "two over one",
        {"ratio": ratio},
        f"two GPUs train {ratio:.2f}x the images of one (n = {EPOCHS - 1} epochs)",
    )


def trained(conditions: Conditions, devices: int) -> pd.DataFrame:
    """The epochs of a short training on so many devices.

    Raises:
        RuntimeError: the command failed; its text is in the log.
    """
    run = conditions.folder("trainings") / f"devices-{devices}"
    shutil.rmtree(run, ignore_errors=True)
    settings = {
        "epochs": EPOCHS, "num_training_stages": 1, "resolution": 32, "warmup_epochs": 0,
        "batch_size": conditions.sized(1024, 32),
    }  # fmt: skip
    command = [
        *NAS, "train", conditions.sized("efficientnetv2-s", "tests/benchmarks/paper/toy.yaml"),
        "--data", str(image_file(conditions)), "--recipe", "cifar10", "--run", str(run),
        "--devices", str(devices),
        *(word for key, value in settings.items() for word in ("--set", f"recipe.{key}={value}")),
    ]  # fmt: skip
    if code := subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode:
        raise RuntimeError(f"nas train --devices {devices} ended with exit code {code}")
    return pd.read_parquet(run / METRICS)
