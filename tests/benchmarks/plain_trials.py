"""How others train a short trial: the two baselines of trial_throughput.py, each a process of its own.

*user*: PIL transforms in a DataLoader with all cores, torch's RMSprop parameter by parameter, the loss read
at every step, one process for each trial. *strong*: the images in memory as one tensor, augmented in batches,
foreach RMSprop, channels_last, nothing read back before the epoch ends, one process for all trials.

    python tests/benchmarks/plain_trials.py user|strong < request.json
"""

import io
import json
import os
import sys
import time
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import from_mapping

BATCH = 128
PADDING = 4
RATE = 0.008


def read_images(source: str, count: int) -> tuple[list[bytes], list[int]]:
    """The first `count` encoded pictures of a Parquet file, and their labels."""
    table = next(pq.ParquetFile(source).iter_batches(count, columns=["image", "label"]))
    return table.column("image").to_pylist(), table.column("label").to_pylist()


def as_plain(network: nn.Module) -> nn.Module:
    """The same network of torch's own convolutions: ours know faster ways on a CPU."""
    for name, child in network.named_children():
        if isinstance(child, nn.Conv2d):
            plain = nn.Conv2d(
                child.in_channels, child.out_channels, child.kernel_size, child.stride, child.padding,
                groups=child.groups, bias=child.bias is not None,
            )  # fmt: skip
            plain.load_state_dict(child.state_dict())
            setattr(network, name, plain)
        else:
            as_plain(child)
    return network


class PictureDataset(Dataset[tuple[Tensor, int]]):
    """Pictures decoded and transformed one by one, as a training script with PIL transforms does."""

    def __init__(self, images: list[bytes], labels: list[int], *, resolution: int, train: bool) -> None:
        self.images, self.labels = images, labels
        self.resolution, self.train = resolution, train

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.open(io.BytesIO(self.images[index])).convert("RGB")
        size = self.resolution
        if picture.size != (size, size):
            picture = picture.resize((size, size), Image.Resampling.BILINEAR)
        if self.train:
            padding = round(size * PADDING / 32)
            picture = ImageOps.expand(picture, padding, (128, 128, 128))
            left, top = np.random.randint(0, 2 * padding + 1, 2)
            picture = picture.crop((left, top, left + size, top + size))
            if np.random.rand() < 0.5:
                picture = ImageOps.mirror(picture)
        tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
        return tensor.float().sub_(128).div_(128), self.labels[index]


def optimizer_of(network: nn.Module, *, foreach: bool) -> torch.optim.Optimizer:
    """RMSprop as the paper's, by torch (of which it has no fused form)."""
    return torch.optim.RMSprop(
        network.parameters(),
        lr=RATE / 10,
        alpha=0.9,
        momentum=0.9,
        eps=1e-3,
        weight_decay=1e-5,
        foreach=foreach,
    )


def user_trial(network: nn.Module, request: dict[str, Any], *, autocast: bool) -> float:
    """Trains and evaluates one network; returns its accuracy on the held-out images."""
    images, labels = read_images(request["source"], request["images"])
    held_out = request["minival"]
    loaders = {}
    for name, part in (("train", slice(held_out, None)), ("minival", slice(0, held_out))):
        dataset = PictureDataset(
            images[part], labels[part], resolution=request["resolution"], train=name == "train"
        )
        loaders[name] = DataLoader(
            dataset,
            batch_size=BATCH,
            shuffle=name == "train",
            drop_last=name == "train",
            num_workers=os.cpu_count() or 1,
            persistent_workers=True,
        )
    optimizer = optimizer_of(network, foreach=False)
    running = 0.0
    accuracy = 0.0
    for _ in range(request["epochs"]):
        network.train()
        for batch, target in loaders["train"]:
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                logits = network(batch)
            loss = functional.cross_entropy(logits.float(), target, label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            running += loss.item()
        network.eval()
        correct = 0
        with torch.no_grad():
            for batch, target in loaders["minival"]:
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                    correct += int((network(batch).argmax(1) == target).sum())
        accuracy = correct / held_out
    return accuracy


class Resident:
    """All pictures as one uint8 tensor (N, 3, R, R), decoded once."""

    def __init__(self, request: dict[str, Any]) -> None:
        images, labels = read_images(request["source"], request["images"])
        size = request["resolution"]
        pixels = [
            np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((size, size))) for data in images
        ]
        self.images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
        self.labels = torch.tensor(labels)


def strong_trial(network: nn.Module, request: dict[str, Any], data: Resident, *, autocast: bool) -> float:
    """As `user_trial`, from memory, in channels_last, with a foreach optimizer and no reading back."""
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    held_out, size = request["minival"], request["resolution"]
    train = torch.arange(held_out, len(data.images))
    optimizer = optimizer_of(network, foreach=True)
    padding = round(size * PADDING / 32)
    total = torch.zeros(())
    accuracy = 0.0
    for _ in range(request["epochs"]):
        network.train()
        shuffled = train[torch.randperm(len(train))]
        for indices in shuffled[: len(shuffled) // BATCH * BATCH].split(BATCH):
            batch = functional.pad(data.images[indices], (padding,) * 4, value=128)
            rows = torch.randint(0, 2 * padding + 1, (BATCH, 1)) + torch.arange(size)
            columns = torch.randint(0, 2 * padding + 1, (BATCH, 1)) + torch.arange(size)
            columns = torch.where(torch.rand(BATCH, 1) < 0.5, columns.flip(1), columns)
            batch = batch[torch.arange(BATCH)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
            inputs = batch.permute(0, 3, 1, 2).float().sub_(128).div_(128)
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                logits = network(inputs)
            loss = functional.cross_entropy(logits.float(), data.labels[indices], label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        network.eval()
        correct = torch.zeros(())
        with torch.no_grad():
            for start in range(0, held_out, BATCH):
                part = slice(start, min(start + BATCH, held_out))
                inputs = data.images[part].float().sub_(128).div_(128)
                inputs = inputs.contiguous(memory_format=torch.channels_last)
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                    correct += (network(inputs).argmax(1) == data.labels[part]).sum()
        accuracy = float(correct) / held_out
    return accuracy


def main() -> None:
    """Trains the networks of the request; prints seconds and accuracies as JSON."""
    request = json.loads(sys.stdin.read())
    architectures = [from_mapping(Architecture, m, name="request") for m in request["architectures"]]
    torch.manual_seed(request["seed"])
    np.random.seed(request["seed"])
    data = Resident(request) if sys.argv[1] == "strong" else None
    before = time.perf_counter()
    accuracies = []
    for architecture in architectures:
        network = as_plain(build_network(architecture, num_classes=request["num_classes"]))
        if data is not None:
            accuracies.append(strong_trial(network, request, data, autocast=request["autocast"]))
        else:
            accuracies.append(user_trial(network, request, autocast=request["autocast"]))
    print(json.dumps({"seconds": time.perf_counter() - before, "accuracies": accuracies}))


if __name__ == "__main__":
    main()
