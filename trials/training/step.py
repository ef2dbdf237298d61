"""The training step, which is the same in trials, in full training and while timing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import Network
from trials.augmentation.augment import to_input
from trials.devices.arithmetic import HALF, autocast
from trials.kernels.choice import fuse, kernels_on, uses_triton
from trials.measurement import Mode
from trials.recipe import Recipe
from trials.training.build_optimizer import build_optimizer
from trials.training.cuda_graphs import GraphedCalls, Record, Work, recorder_of
from trials.training.device_group import ALONE, DeviceGroup
from trials.training.flat_parameters import SINGLE, Layout
from trials.training.half_weights import HalfWeights
from trials.training.kernel_update import KernelUpdate
from trials.training.loss import (
    are_correct,
    balanced_weights,
    counted_labels,
    cross_entropy,
    mixed_cross_entropy,
)
from trials.training.loss_scaler import LossScaler
from trials.training.recipe_network import network_for
from trials.training.rmsprop import RMSProp
from trials.training.sync_batch_norm import SyncBatchNorm2d, synchronise_batch_norm
from trials.training.weight_average import WeightAverage
from trials.trial import Kernels

OPTIMIZER = "optimizer."  # begins the names of its part of a state
Part = tuple[Tensor, Tensor, Tensor | None, Tensor | None]  # images, labels, partners, weights of a batch


class TrainingStep:
    """Forward, loss, backward, update and weight averaging on one batch that lies on the device.

    Everything that changes from step to step is a tensor on the device, and nothing is read back, so that the
    host can run ahead and a CUDA graph can hold the step. Losses and correct answers add up in `totals`,
    which is read once per epoch.

    With a group, each of its devices takes the step on its share of the batch. The gradient is that of the
    whole batch, and weights, averages and statistics stay equal on all devices.

    Args:
        memory_format: of the network's weights; images come in channels_last.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        *,
        device: torch.device,
        precision: str,
        cuda_graphs: bool = True,
        group: DeviceGroup = ALONE,
        memory_format: torch.memory_format = torch.channels_last,
    ) -> None:
        self.group = group
        if group.size > 1 and recipe.sync_batch_norm:
            synchronise_batch_norm(network, group)
        self.network: Network = network.to(device).to(memory_format=memory_format)  # type: ignore[call-overload]
        self._record: Record | None = recorder_of(device) if cuda_graphs else None
        self.device = device
        self.kernels = fuse(self.network, device, precision, record=self._record)
        self.precision = precision
        self.label_smoothing = recipe.label_smoothing
        # 1 until `balance` sets them: a timed step gathers weights like one that trains.
        self.class_weights = (
            torch.ones(network.classifier.out_features, device=device)
            if recipe.class_weights == "balanced"
            else None
        )
        self.optimizer = build_optimizer(
            self.network,
            recipe,
            precision=precision,
            fused=self.kernels == "fused" and group.size == 1,  # all processes of a group must round alike
        )
        self.parameters = self.optimizer.parameters
        self.average = (
            WeightAverage(self.parameters, decay=recipe.averaging_decay) if recipe.averaging_decay else None
        )
        self.evaluations = 2 if self.average is not None else 1  # of an epoch: raw and averaged weights
        self.learning_rate = torch.zeros((), device=device)
        self.totals = torch.zeros(3, device=device)  # sum of losses, correct answers, images
        self.scaler = LossScaler(device)  # of float16; a step may be timed in it that trains otherwise
        self._trains_scaled = precision == "fp16"
        self._halves: dict[torch.dtype, HalfWeights] = {}
        self.micro_batches = 1  # parts that a batch is computed in; batch norm sees each part alone
        self._kernel_update = self._own_update()

    def _own_update(self) -> KernelUpdate | None:
        """RMSProp's update as one kernel, where the step's kernels are those of Triton."""
        fused = self.kernels == "fused" and uses_triton(self.device)
        if fused and isinstance(self.optimizer, RMSProp):
            return KernelUpdate(self.optimizer, self.average)
        return None

    @property
    def mode(self) -> Mode:
        """How steps are launched: each as one CUDA graph, or kernel by kernel."""
        return "eager" if self._record is None else "graph"

    def graphed(self, work: Work, *, changes: Sequence[Tensor] | None = None) -> GraphedCalls:
        """Calls of `work` through a CUDA graph where that is possible, else as they are.

        `changes` are the tensors that the work changes; default: those that a step changes.
        """
        changed = self._changing() if changes is None else changes
        return GraphedCalls(work, changes=changed, record=self._record)

    def __call__(
        self, images: Tensor, labels: Tensor, partners: Tensor | None = None, weights: Tensor | None = None
    ) -> None:
        """Takes one step.

        Args:
            images: (B, H, W, 3) uint8.
            labels: (B,) int64, or (B, L) padded with -1.
            partners: labels of the images that were mixed in, of the same shape; None: none were.
            weights: (B,) weight of each image's own labels, 0-1.
        """
        parts = [_parts(tensor, self.micro_batches) for tensor in (images, labels, partners, weights)]
        self.take(zip(*parts, strict=True), images=len(images))

    def take(self, parts: Iterable[Part], *, images: int) -> None:
        """Takes one step on a batch of so many images, of which there is only a part at a time.

        A part holds what `__call__` takes. Batch norm has the statistics of each part.
        """
        # Step 1: the gradient of the batch, as the sum over its parts.
        self.network.train()
        half = self._half_weights()
        if half is not None:
            half.refresh()
        for i, part in enumerate(parts):
            self._differentiate(half, *part, share=len(part[0]) / (images * self.group.size))
            self.parameters.collect(None if half is None else half.leaves, adds=i > 0)
        # Step 2: sum over the devices, then the same update on each of them.
        self._exchange()
        if self.precision == "fp16":
            overflow = self.scaler.unscale(self.parameters.grads)
            self._update(skipped=overflow)
            self.scaler.update()
        else:
            self._update(skipped=None)

    def _update(self, *, skipped: Tensor | None) -> None:
        """Updates the weights and their average; where `skipped` is not 0, the average alone."""
        if self._kernel_update is not None:
            self._kernel_update(self.learning_rate, skipped=skipped)
            return
        self.optimizer.step(self.learning_rate, skipped=skipped)
        if self.average is not None:
            self.average.update()

    def _exchange(self) -> None:
        """Sums gradients over the group's devices and averages batch-norm statistics, in one reduction."""
        if self.group.size > 1:
            self.group.sum(self.parameters.grads_and_statistics)
            self.parameters.statistics /= self.group.size

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Takes steps on this device alone within the block, without exchanging anything with the group."""
        group = self.group
        try:
            self._join(ALONE)
            yield
        finally:
            self._join(group)

    def _join(self, group: DeviceGroup) -> None:
        """Sets the group of the step and of its synchronised batch norms."""
        self.group = group
        for module in self.network.modules():
            if isinstance(module, SyncBatchNorm2d):
                module.group = group

    def _half_weights(self) -> HalfWeights | None:
        """The weights in the step's precision; None in float32."""
        dtype = HALF.get(self.precision)
        if dtype is not None and dtype not in self._halves:
            self._halves[dtype] = HalfWeights(self.network, self.parameters, dtype)
        return None if dtype is None else self._halves[dtype]

    def leaf_of(self, parameter: nn.Parameter) -> Tensor:
        """The tensor that gets a parameter's gradient in the step's precision: itself, or its copy."""
        half = self._half_weights()
        if half is None:
            return parameter
        return half.leaves[next(i for i, own in enumerate(self.parameters.parameters) if own is parameter)]

    def _differentiate(
        self,
        half: HalfWeights | None,
        images: Tensor,
        labels: Tensor,
        partners: Tensor | None,
        weights: Tensor | None,
        *,
        share: float,
    ) -> None:
        """Computes the gradient of `share` (0-1) times these images' mean loss."""
        with autocast(self.precision, self.device), nullcontext() if half is None else half.used():
            logits = self.network(to_input(images))  # (B, K)
        loss = self._loss(logits.float(), labels, partners, weights)
        shared = loss if share == 1 else loss * share
        (shared * self.scaler.scale if self.precision == "fp16" else shared).backward()
        with torch.no_grad():
            correct = are_correct(logits.argmax(1, keepdim=True), labels).sum()
            self.totals[:2] += torch.stack([loss.detach() * len(labels), correct])
            self.totals[2] += len(labels)

    def _loss(
        self, logits: Tensor, labels: Tensor, partners: Tensor | None, weights: Tensor | None
    ) -> Tensor:
        smoothing, classes = self.label_smoothing, self.class_weights
        if partners is None or weights is None:
            return cross_entropy(logits, labels, label_smoothing=smoothing, class_weights=classes)
        return mixed_cross_entropy(
            logits, labels, partners, weights, label_smoothing=smoothing, class_weights=classes
        )

    def balance(self, labels: Tensor) -> None:
        """Weighs classes by their frequency among the labels (N,) or (N, L), where the recipe wants that."""
        if self.class_weights is not None:
            self.class_weights.copy_(balanced_weights(labels, len(self.class_weights)))

    def read_totals(self) -> tuple[float, float]:
        """Mean loss and accuracy (0-1) of the group's images since the last call. Waits for the device."""
        self.group.sum(self.totals)
        losses, correct, images = self.totals.tolist()
        self.totals.zero_()
        return losses / images, correct / images

    def _state(self) -> dict[str, Tensor]:
        """The tensors that a step changes, by name; not copies."""
        state = {"values": self.parameters.values, "statistics": self.parameters.statistics}
        state |= {OPTIMIZER + name: tensor for name, tensor in self.optimizer.state().items()}
        if self.average is not None:
            state |= {f"average.{name}": tensor for name, tensor in self.average.state().items()}
        if self._trains_scaled:
            state |= {f"scaler.{name}": tensor for name, tensor in self.scaler.state().items()}
        return state

    @property
    def snapshot_bytes(self) -> int:
        """Bytes that a capture takes besides the work itself, for a copy of what the warm-up changes."""
        if self._record is None:
            return 0
        return sum(tensor.numel() * tensor.element_size() for tensor in self._changing())

    def _changing(self) -> list[Tensor]:
        return [*self._state().values(), self.totals]

    def state(self) -> dict[str, Tensor]:
        """Copies of everything that a step changes, by name; vectors have no gaps, on any device."""
        return {name: self._layout(name).packed(tensor) for name, tensor in self._state().items()}

    def _layout(self, name: str) -> Layout:
        """The layout of a tensor of the state."""
        if name.startswith(OPTIMIZER):
            return self.optimizer.layout(name.removeprefix(OPTIMIZER))
        if name.endswith("statistics"):
            return self.parameters.statistics_layout
        return self.parameters.values_layout if name.endswith("values") else SINGLE

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Copies a state back into place and resets the totals."""
        self.parameters.values_layout.unpack(state["values"], self.parameters.values)
        self.parameters.statistics_layout.unpack(state["statistics"], self.parameters.statistics)
        self.optimizer.load(_part(state, OPTIMIZER))
        if self.average is not None:
            self.average.load(_part(state, "average."))
        if self._trains_scaled:
            self.scaler.load(_part(state, "scaler."))
        self.totals.zero_()

    def copy_first(self) -> None:
        """Replaces this device's state by that of the group's first device."""
        for tensor in self._state().values():
            self.group.copy_first(tensor)


def _parts(tensor: Tensor | None, number: int) -> Sequence[Any]:
    if tensor is None or number == 1:
        return [tensor] * number
    return tensor.tensor_split(number)


def kernels_of_steps(device: torch.device, precision: str) -> Kernels:
    """The kernels with which steps compute on a device, by this process."""
    return kernels_on(device, precision, record=recorder_of(device))


def build_step(
    architecture: Architecture,
    recipe: Recipe,
    *,
    num_classes: int,
    device: torch.device,
    precision: str,
    cuda_graphs: bool = True,
) -> TrainingStep:
    """The training step of a new network for the recipe, with weights from torch's current seed."""
    network = network_for(architecture, recipe, num_classes=num_classes)
    return TrainingStep(network, recipe, device=device, precision=precision, cuda_graphs=cuda_graphs)


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


@torch.no_grad()
def evaluate(
    network: nn.Module, images: Tensor, labels: Tensor, *, device: torch.device, precision: str
) -> Tensor:
    """Evaluates a batch (B, H, W, 3) uint8 in evaluation mode.

    Returns:
        (3 + 2 K,): sum of losses, number of correct predictions, number of images with a label among the
        five highest logits; of each class the number of correct predictions, and of images. Of an image's
        several labels any one counts as correct.
    """
    network.eval()
    with autocast(precision, device):
        logits = network(to_input(images)).float()  # (B, K)
    losses = cross_entropy(logits, labels, reduction="sum")
    classes = logits.shape[1]
    highest = logits.topk(min(5, classes), dim=1).indices
    top = are_correct(highest, labels)  # (B, 5)
    hits = top[:, 0].float()
    counted = counted_labels(labels, highest[:, 0], top[:, 0])
    by_class = torch.zeros(2, classes, device=logits.device)
    by_class[0].scatter_add_(0, counted, hits)
    by_class[1].scatter_add_(0, counted, torch.ones_like(hits))
    sums = torch.stack([losses, hits.sum(), top.any(dim=1).sum().float()])
    return torch.cat([sums, by_class.flatten()])
