"""Loads published weights of timm and torchvision from files into our networks.

Their networks differ in two settings that are no tensors, and that are folded into the tensors here, so that
all networks take the same images: batch norm's constant goes into the running variances, and the
normalisation of pixels into the stem. In evaluation mode both are exact, except at the border of an image:
our zero padding is a grey of 128, theirs the mean of their pixels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from search_spaces.interchange.files import Imported
from search_spaces.interchange.tensor_names import LIBRARIES, foreign_names
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import BATCH_NORM_EPSILON, Network, build_network
from search_spaces.settings.config_error import ConfigError

SHOWN = 3  # names of tensors in a message
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")  # averaged weights are preferred
PIXELS = {  # mean and standard deviation of the channels, for pixels from 0 to 1
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a state dict written by torch.save, by name.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or 'no such file'}") from None
    except Exception as error:  # SafetensorError, UnpicklingError, and whatever odd bytes lead to
        raise _no_weights(path, error) from None
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not any(isinstance(value, Tensor) for value in content.values()):
        raise ConfigError(f"{path}: holds no tensors by name; a state dict is expected")
    return {
        str(name).removeprefix("module."): value
        for name, value in content.items()
        if isinstance(value, Tensor)
    }


def _no_weights(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"{path}: these are no weights that can be read safely ({type(error).__name__}); a .safetensors "
        "file, or a state dict that torch.save wrote, is expected"
    )


def foreign_network(imported: Imported, library: str, state: Mapping[str, Tensor], *, name: str) -> Network:
    """Our network with the tensors of another library's state dict, in evaluation mode.

    `name` is the file's, for messages.

    Raises:
        ConfigError: the tensors are not those of this network.
    """
    if library not in LIBRARIES:
        raise ConfigError(
            f"--weights: {library}'s weights are TensorFlow checkpoints; timm's tf_ ones are the same"
        )
    # Step 1: check names, number of classes and shapes, before memory is spent on a network.
    architecture = imported.architecture
    names = foreign_names(architecture, library)
    _refuse_other_names(state, set(names.values()), name=name)
    classes = state[names["classifier.bias"]].numel()
    if classes < 2:
        raise ConfigError(f"{name}: a classifier of {classes} outputs; at least 2 are expected")
    tensors = {ours: state[theirs].float() for ours, theirs in names.items()}
    with torch.device("meta"):
        network = build_network(architecture, num_classes=classes)
    _refuse_other_shapes(network, names, tensors, name=name)
    # Step 2: fold the library's conventions into the tensors.
    _fold_epsilon(tensors, imported.epsilon)
    if imported.pixels != "ours":
        _fold_pixels(tensors, *PIXELS[imported.pixels])
    # Step 3: load them.
    network = build_network(architecture, num_classes=classes)
    network.load_state_dict(tensors, strict=False)  # counters of batches are not in the file
    return network.eval()


def foreign_state(network: Network, architecture: Architecture, library: str) -> dict[str, Tensor]:
    """A network's tensors under another library's names, for a state dict of that library."""
    own = network.state_dict()
    return {theirs: own[ours] for ours, theirs in foreign_names(architecture, library).items()}


def _refuse_other_names(state: Mapping[str, Tensor], expected: set[str], *, name: str) -> None:
    found = {key for key in state if not key.endswith("num_batches_tracked")}
    for what, keys in (("lacks", expected - found), ("has, beyond this network,", found - expected)):
        if keys:
            listed = ", ".join(sorted(keys)[:SHOWN])
            more = f" and {len(keys) - SHOWN:,} more" if len(keys) > SHOWN else ""
            raise ConfigError(f"{name}: {what} {listed}{more}; are these weights of another network?")


def _refuse_other_shapes(
    network: Network, names: Mapping[str, str], tensors: Mapping[str, Tensor], *, name: str
) -> None:
    own: Mapping[str, Tensor] = network.state_dict()
    for ours, tensor in tensors.items():
        if tensor.shape != own[ours].shape:
            raise ConfigError(
                f"{name}: {names[ours]} has the shape {tuple(tensor.shape)}; {tuple(own[ours].shape)} is "
                "expected of this network"
            )


def _fold_epsilon(tensors: dict[str, Tensor], epsilon: float) -> None:
    """Shifts running variances such that variance + our constant is the old variance + theirs."""
    if epsilon != BATCH_NORM_EPSILON:
        for key in [key for key in tensors if key.endswith("running_var")]:
            tensors[key] = tensors[key] + (epsilon - BATCH_NORM_EPSILON)


def _fold_pixels(tensors: dict[str, Tensor], mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
    """Changes the stem from pixels of (x / 255 - mean) / deviation to pixels of p = (x - 128) / 128.

    (x / 255 - mean) / deviation = p * (128 / 255) / deviation + (128 / 255 - mean) / deviation. The factor
    scales the convolution's weights; the constant shifts its output, which batch norm's running mean absorbs.
    """
    means = torch.tensor(mean, dtype=torch.float64).view(1, 3, 1, 1)
    deviations = torch.tensor(deviation, dtype=torch.float64).view(1, 3, 1, 1)
    weight = tensors["stem.0.weight"].double()  # (C, 3, 3, 3)
    shift = (weight * (128 / 255 - means) / deviations).sum((1, 2, 3))  # (C,)
    tensors["stem.0.weight"] = (weight * (128 / 255) / deviations).float()
    tensors["stem.1.running_mean"] = (tensors["stem.1.running_mean"].double() - shift).float()
