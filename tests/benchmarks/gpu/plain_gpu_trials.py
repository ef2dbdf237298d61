"""How others train a short trial on a GPU: the two scripts of trials_per_hour.py, each a lasting process.

*plain*: PIL transforms in a DataLoader with all cores, float32, torch's RMSprop parameter by parameter, the
loss read at every step. *good*: all images on the device as one uint8 tensor, augmented there in batches,
autocast to what the GPU has in hardware (bf16; before sm_80 fp16, whose scaler reads a number back in each
step), channels_last, foreach RMSprop, nothing else read back before the epoch ends. *compiled*: the good one
with torch.compile, whose time to compile is part of the trial, as each trial has another network.

    python -m benchmarks.gpu.plain_gpu_trials plain|good|compiled     # a request a line, an answer a line
"""

import json
import os
import sys
import time
import traceback
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import torch
from benchmarks.plain_trials import (
    PADDING,
    PictureDataset,
    Resident,
    as_plain,
    optimizer_of,
    read_images,
)
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import from_mapping
from trials.devices.arithmetic import HALF


@lru_cache(maxsize=1)
def encoded(source: str, count: int) -> tuple[list[bytes], list[int]]:
    """The file's pictures and labels, read once."""
    return read_images(source, count)


def plain_trial(network: nn.Module, request: dict[str, Any], device: torch.device) -> float:
    """Trains and evaluates one network; returns its accuracy on the held-out images."""
    network = network.to(device)
    images, labels = encoded(request["source"], request["images"])
    held_out, batch_size = request["minival"], request["batch_size"]
    loaders = {}
    for name, part in (("train", slice(held_out, None)), ("minival", slice(0, held_out))):
        dataset = PictureDataset(
            images[part], labels[part], resolution=request["resolution"], train=name == "train"
        )
        workers = request["loaders"]
        loaders[name] = DataLoader(
            dataset, batch_size=batch_size, shuffle=name == "train", drop_last=name == "train",
            num_workers=workers, persistent_workers=workers > 0, pin_memory=device.type == "cuda",
        )  # fmt: skip
    optimizer, running, accuracy = optimizer_of(network, foreach=False), 0.0, 0.0
    for _ in range(request["epochs"]):
        network.train()
        for batch, target in loaders["train"]:
            batch, target = batch.to(device, non_blocking=True), target.to(device, non_blocking=True)
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(batch), target, label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            running += loss.item()
        network.eval()
        correct = 0
        with torch.no_grad():
            for batch, target in loaders["minival"]:
                correct += int((network(batch.to(device)).argmax(1) == target.to(device)).sum())
        accuracy = correct / held_out
    return accuracy


@lru_cache(maxsize=1)
def resident(source: str, count: int, resolution: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (N, 3, R, R) uint8 and labels (N,) on the device, decoded once."""
    data = Resident({"source": source, "images": count, "resolution": resolution})
    return data.images.to(device), data.labels.to(device)


def augmented(images: Tensor, indices: Tensor, size: int) -> Tensor:
    """A batch (B, 3, R, R) of random crops and flips, scaled, in channels_last."""
    device, padding = images.device, round(size * PADDING / 32)
    number = len(indices)
    span = torch.arange(size, device=device)
    rows = torch.randint(0, 2 * padding + 1, (number, 1), device=device) + span
    columns = torch.randint(0, 2 * padding + 1, (number, 1), device=device) + span
    columns = torch.where(torch.rand(number, 1, device=device) < 0.5, columns.flip(1), columns)
    padded = functional.pad(images[indices], (padding,) * 4, value=128)
    which = torch.arange(number, device=device)[:, None, None]
    batch = padded[which, :, rows[:, :, None], columns[:, None, :]]  # (B, R, R, 3)
    return scaled(batch.permute(0, 3, 1, 2))


def scaled(images: Tensor) -> Tensor:
    """Pixels about 0, in channels_last."""
    return images.float().sub_(128).div_(128).contiguous(memory_format=torch.channels_last)


def autocast_to(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Half precision for a forward pass; as it is in fp32."""
    return torch.autocast(device.type, dtype=HALF[precision]) if precision in HALF else nullcontext()


def scaler_of(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Torch's scaler of losses, which does nothing but in fp16."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def good_step(
    forward: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    labels: Tensor,
    *,
    precision: str,
    scaler: torch.amp.GradScaler,
) -> Tensor:
    """One step, which does not wait for the device but in fp16; its loss, on the device."""
    optimizer.zero_grad(set_to_none=True)
    with autocast_to(precision, inputs.device):
        loss = functional.cross_entropy(forward(inputs), labels, label_smoothing=0.1)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return loss.detach()


def good_trial(network: nn.Module, request: dict[str, Any], device: torch.device, *, compiled: bool) -> float:
    """As `plain_trial`, with images on the device, in half precision and channels_last."""
    precision, scaler = request["precision"], scaler_of(request["precision"], device)
    size, held_out, batch_size = request["resolution"], request["minival"], request["batch_size"]
    images, labels = resident(request["source"], request["images"], size, device)
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = optimizer_of(network, foreach=True)
    forward = torch.compile(network, backend=request["compiler"]) if compiled else network
    total, accuracy = torch.zeros((), device=device), 0.0
    train = torch.arange(held_out, len(images), device=device)
    for _ in range(request["epochs"]):
        network.train()
        shuffled = train[torch.randperm(len(train), device=device)]
        for indices in shuffled[: len(shuffled) // batch_size * batch_size].split(batch_size):
            batch = augmented(images, indices, size)
            total += good_step(forward, optimizer, batch, labels[indices], precision=precision, scaler=scaler)
        network.eval()
        correct = torch.zeros((), device=device)
        with torch.no_grad(), autocast_to(precision, device):
            for start in range(0, held_out, batch_size):
                part = slice(start, min(start + batch_size, held_out))
                correct += (network(scaled(images[part])).argmax(1) == labels[part]).sum()
        accuracy = float(correct) / held_out
    return accuracy


def answer(side: str, request: dict[str, Any]) -> dict[str, Any]:
    """Seconds and accuracy of one trial; an error in their place, so that the process lasts."""
    device = torch.device(request["device"])
    architecture = from_mapping(Architecture, request["architecture"], name="request")
    if side != "plain":  # images lie on the device before the clock starts, as those of a worker do
        resident(request["source"], request["images"], request["resolution"], device)
    torch.manual_seed(request["seed"])
    before = time.perf_counter()
    try:
        network = as_plain(build_network(architecture, num_classes=request["num_classes"]))
        if side == "plain":
            accuracy = plain_trial(network, request, device)
        else:
            accuracy = good_trial(network, request, device, compiled=side == "compiled")
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    finally:
        if side == "compiled":
            torch._dynamo.reset()
    return {"seconds": time.perf_counter() - before, "accuracy": accuracy}


def main() -> None:
    """Answers requests until there are no more."""
    out = os.fdopen(os.dup(1), "w")  # what others print goes to the log
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(answer(sys.argv[1], json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
