"""Weights files for other projects' users, written and read back: the same network with the same outputs."""

from pathlib import Path
from typing import Any

import torch

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import Network
from search_spaces.settings.output_files import writing
from trials.training.weights_file import load_weights, save_weights


def write_proved_weights(output: Path, network: Network, architecture: Architecture, **facts: Any) -> None:
    """Writes a network's weights with JSON facts, and asserts that they come back.

    Raises:
        ConfigError: the file cannot be written.
    """
    with writing(output):
        save_weights(output, network, architecture, **facts)
    back = load_weights(output)
    assert back.architecture == architecture.without_provenance(), "another network came back"
    images = torch.randn(2, 3, architecture.total_stride, architecture.total_stride)
    with torch.no_grad():
        assert torch.equal(back.network().eval()(images), network(images)), "other outputs came back"
