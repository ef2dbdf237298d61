"""A network as an ONNX file, checked with onnxruntime before it takes its place."""

import importlib.util
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from nas.interchange.library_check import TOLERANCE, difference_of
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import Network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.output_files import writing
from search_spaces.settings.yaml_files import to_mapping
from trials.pictures import PictureView

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
BATCHES = (1, 3)  # a batch that was traced as a constant would fail with one of them
INPUT = "(x - 128) / 128 of RGB pixels of 0-255, a square, N x 3 x H x W"


def write_onnx(
    network: Network,
    architecture: Architecture,
    output: Path,
    *,
    resolution: int,
    classes: Sequence[str],
    view: PictureView,
) -> str:
    """Writes images (N, 3, H, W) to logits (N, K) for any N, and says what was checked.

    The file's metadata hold the architecture, the classes and what the input is.

    Raises:
        ConfigError: a package is missing, the file cannot be written, or onnxruntime's outputs differ.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"--format onnx: not installed: {', '.join(missing)}; pip install -e '.[onnx]' in the repository"
        )
    facts = {
        "architecture": json.dumps(to_mapping(architecture.without_provenance())),
        "classes": json.dumps(list(classes)),
        "input": INPUT,
        "resolution": str(resolution),
        "crop": view.crop,
        "interpolation": view.interpolation,
    }
    with writing(output):
        handle, temporary = tempfile.mkstemp(dir=output.parent, prefix=".", suffix=".onnx")
        os.close(handle)
        try:
            difference = _written_and_run(network, Path(temporary), resolution, facts)
            if not difference <= TOLERANCE:
                raise ConfigError(
                    f"{output}: not written: onnxruntime's outputs differ by {difference:.1e}; at most "
                    f"{TOLERANCE:.0e} is expected"
                )
            os.replace(temporary, output)
        finally:
            Path(temporary).unlink(missing_ok=True)
    batches = " and ".join(map(str, BATCHES))
    return f"onnxruntime's outputs within {difference:.0e} at batches of {batches}, {resolution} px"


def _written_and_run(network: Network, path: Path, resolution: int, facts: dict[str, str]) -> float:
    """The largest difference of onnxruntime's outputs to ours, over the largest output."""
    import onnxruntime

    _write(network.eval(), path, resolution, facts)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    differences = []
    for batch in BATCHES:
        images = torch.randn(batch, 3, resolution, resolution, generator=generator)
        outputs = _outputs(network, images)
        (found,) = session.run(None, {"images": images.numpy()})
        differences.append(difference_of(torch.from_numpy(found), outputs))
    return max(differences)


@torch.no_grad()
def _outputs(network: Network, images: Tensor) -> Tensor:
    outputs: Tensor = network(images)
    return outputs


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what the exporter says of packages that are not needed, and of itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _write(network: Network, path: Path, resolution: int, facts: dict[str, str]) -> None:
    import onnx

    images = torch.zeros(2, 3, resolution, resolution)
    with _quiet():
        program = torch.onnx.export(
            network,
            (images,),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    graph, functions = model.graph, model.functions
    parts = (
        graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer,
        *functions, *(node for function in functions for node in function.node),
    )  # fmt: skip
    for part in parts:
        del part.metadata_props[:]  # where in which files of this machine each came from
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))
