"""Tries a network that is not ours: what it gives, in which layout of memory it runs, whether it trains."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from search_spaces.networks.module_counts import ModuleCounts, count_any
from search_spaces.networks.network import Network
from search_spaces.settings.config_error import ConfigError
from trials.recipe import Recipe
from trials.timing.inference_time import TimedForward
from trials.timing.module_errors import users_errors
from trials.timing.module_source import CLASSES, ModuleSource
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

MemoryLayout = Literal["channels_last", "contiguous"]
TRIED_IMAGES = 2  # batch norm needs more than one value
FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


@dataclass(frozen=True)
class CheckedModule:
    """A network that can be trained and timed here.

    Attributes:
        layout: channels_last as ours have it, or contiguous where the module does not run in the former.
        layout_reason: why it does not.
    """

    source: ModuleSource
    num_classes: int
    layout: MemoryLayout
    layout_reason: str | None
    counts: ModuleCounts

    @property
    def name(self) -> str:
        """The name that it was given."""
        return self.source.name

    def step(self, recipe: Recipe, *, device: torch.device, precision: str) -> TrainingStep:
        """The training step of a fresh network, with weights from torch's current seed."""
        network = self.source.build(self.num_classes)
        _make_dense(network)
        network = ContiguousInput(network) if self.layout == "contiguous" else network
        # A step calls its network, and asks nothing else of it.
        return TrainingStep(
            cast(Network, network),
            recipe,
            device=device,
            precision=precision,
            memory_format=FORMATS[self.layout],
        )


class ContiguousInput(nn.Module):
    """A module that is given images with all pixels of a channel next to each other in memory."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Any:
        """Images (N, C, H, W) to what the module gives."""
        return self.module(images.contiguous())


def classes_of(source: ModuleSource, *, resolution: int, device: torch.device) -> int:
    """The number of logits that a network gives when it is made without arguments.

    Raises:
        ConfigError: as `checked_module`.
    """
    torch.manual_seed(0)
    network = _built(source, None, device)
    return _tried(source, network, _images(resolution, device))[2].shape[1]


def checked_module(
    source: ModuleSource, *, num_classes: int, resolution: int, device: torch.device
) -> CheckedModule:
    """Makes a network, computes two images with it, differentiates, and counts it.

    Raises:
        ConfigError: making or computing fails; it gives anything but logits (N, num_classes); its parameters
            are not float32, not initialised or need no gradients.
    """
    torch.manual_seed(0)
    network, images = _built(source, num_classes, device), _images(resolution, device)
    layout, reason, logits = _tried(source, network, images)
    if logits.shape[1] != num_classes:
        instead = (
            f"it was made with {CLASSES}={num_classes}"
            if source.takes_classes
            else f"it takes no {CLASSES}: give --classes {logits.shape[1]}"
        )
        raise ConfigError(
            f"{source.name}: gives {logits.shape[1]:,} logits, but {num_classes:,} classes are measured; "
            f"{instead}"
        )
    if not logits.requires_grad:
        raise ConfigError(f"{source.name}: its output does not depend on any parameter that has a gradient")
    with users_errors(source.name, "its backward pass"):
        logits.float().sum().backward()
    network.zero_grad(set_to_none=True)
    counts = count_any(network, images[:1])
    return CheckedModule(source, num_classes, layout, reason, counts)


def try_step(module: CheckedModule, *, resolution: int, step: Callable[[], TrainingStep]) -> None:
    """Takes a training step and computes an image in the precision that is measured.

    Raises:
        ConfigError: one of both fails; it gives anything but logits (N, num_classes) in evaluation mode.
    """
    with module.source.importing(), users_errors(module.name, "a training step"):
        made = step()
        batch = SyntheticBatch.random(
            batch_size=TRIED_IMAGES, resolution=resolution, num_classes=module.num_classes, device=made.device
        )
        made(batch.images, batch.labels)
    with module.source.importing(), users_errors(module.name, f"inference in {made.precision}"):
        forward = TimedForward(
            made.network, batch_size=1, resolution=resolution, device=made.device, precision=made.precision,
            graphs=False,
        )  # fmt: skip
        logits = _logits(module.name, forward.output(), images=1, when="in evaluation mode ")
    if logits.shape[1] != module.num_classes:
        raise ConfigError(
            f"{module.name}: in evaluation mode gives {logits.shape[1]:,} logits, in training "
            f"{module.num_classes:,}; the same are expected"
        )


def _images(resolution: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((TRIED_IMAGES, 3, resolution, resolution), generator=generator).to(device)


def _built(source: ModuleSource, num_classes: int | None, device: torch.device) -> nn.Module:
    """A network on the device, its parameters fit for a training step."""
    network = source.build(num_classes)
    _check_tensors(source.name, network)
    _make_dense(network)
    with users_errors(source.name, f"taking it to {device}"):
        return network.to(device)


def _check_tensors(name: str, network: nn.Module) -> None:
    tensors = [*network.named_parameters(), *network.named_buffers()]
    if lazy := [key for key, tensor in tensors if nn.parameter.is_lazy(tensor)]:
        raise ConfigError(
            f"{name}: {lazy[0]} is not initialised (a lazy module); give sizes, or compute an image "
            "once where it is made"
        )
    if unreal := [key for key, tensor in tensors if tensor.is_meta]:
        raise ConfigError(f"{name}: {unreal[0]} lies on the meta device and has no values")
    trained = [(key, each) for key, each in network.named_parameters() if each.requires_grad]
    if not trained:
        raise ConfigError(f"{name}: has no parameter that has a gradient; there is nothing to train")
    if others := [(key, each.dtype) for key, each in trained if each.dtype != torch.float32]:
        key, dtype = others[0]
        raise ConfigError(
            f"{name}: {key} is {_named(dtype)}; float32 is expected, and --precision says in what it computes"
        )


@torch.no_grad()
def _make_dense(network: nn.Module) -> None:
    """Makes parameters and buffers contiguous, so that they can lie in one vector."""
    for tensor in (*network.parameters(), *network.buffers()):
        if not tensor.is_contiguous(
            memory_format=torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
        ):
            tensor.data = tensor.data.contiguous()


def _tried(
    source: ModuleSource, network: nn.Module, images: Tensor
) -> tuple[MemoryLayout, str | None, Tensor]:
    """The layout in which the network computes images while it trains, why not the other one, its logits."""
    network.train()
    reason: str | None = None
    with source.importing():
        try:
            with users_errors(source.name, "its forward pass"):
                found = network.to(memory_format=torch.channels_last)(  # type: ignore[call-overload]
                    images.to(memory_format=torch.channels_last)
                )
            layout: MemoryLayout = "channels_last"
        except ConfigError as refused:
            try:
                found = network.to(memory_format=torch.contiguous_format)(images)  # type: ignore[call-overload]
            except Exception:
                raise refused from refused.__cause__  # it is not the layout
            layout, reason = "contiguous", str(refused)
    return layout, reason, _logits(source.name, found)


def _logits(name: str, found: Any, *, images: int = TRIED_IMAGES, when: str = "") -> Tensor:
    """The output, if it is logits of the images; `when` says in which mode it was computed."""
    expected = f"one tensor of logits (N, {CLASSES}) is expected"
    if isinstance(found, (tuple, list)):
        raise ConfigError(f"{name}: {when}gives {len(found)} outputs ({type(found).__name__}); {expected}")
    if isinstance(found, dict):
        raise ConfigError(f"{name}: {when}gives outputs by name ({', '.join(map(str, found))}); {expected}")
    if not isinstance(found, Tensor):
        raise ConfigError(f"{name}: {when}gives an object of the class {type(found).__name__}; {expected}")
    if found.dim() != 2 or found.shape[0] != images or not found.is_floating_point():
        raise ConfigError(
            f"{name}: {when}gives {_named(found.dtype)} of shape {tuple(found.shape)} for {images} "
            f"image{'s' if images > 1 else ''}; {expected}"
        )
    if found.shape[1] < 2:
        raise ConfigError(f"{name}: {when}gives 1 logit for an image; at least 2 classes are expected")
    return found


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
