"""Imports of other projects' architectures into YAML, and of their weights into weights of ours."""

from dataclasses import dataclass, replace
from pathlib import Path

from nas.interchange.library_check import library_check
from nas.interchange.proved_weights import write_proved_weights
from search_spaces.interchange.files import read_foreign, to_text
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.output_files import refuse_existing, writing
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, yaml_text
from trials.training.foreign_weights import foreign_network, read_state


@dataclass(frozen=True)
class Imported:
    """An architecture as YAML text, and what was proved of it, in words."""

    text: str
    proof: str


def import_architecture(source: str, project: str, *, output: Path | None, force: bool) -> Imported:
    """Another project's network as YAML, also written to `output` if given.

    Raises:
        ConfigError: `source` is no such network, or `output` cannot be written.
    """
    refuse_existing(output, force=force)
    imported = read_foreign(project, source)
    architecture = replace(imported.architecture, provenance={project: source})
    to_text(project, architecture)  # and back, to the same network
    text = yaml_text(architecture, header=f"nas import {source} --from {project}")
    back = from_mapping(Architecture, parse_yaml(text, name=source), name=source)
    assert back == architecture, "another network came back"
    side = architecture.total_stride
    params = count(back, num_classes=DEFAULT_CLASSES, resolution=side).params
    check = library_check(project, architecture)
    if output is not None:
        with writing(output):
            output.write_text(text, encoding="utf-8")
    proof = f"{params:,} parameters with {DEFAULT_CLASSES:,} classes, written back as the same network"
    return Imported(text, f"{proof}; {check}" if check else proof)


def import_weights(source: str, project: str, *, weights: Path, output: Path, force: bool) -> str:
    """Writes another project's weights for one of its networks as weights of ours, and says what was proved.

    Raises:
        ConfigError: `source` is no such network, or `weights` are not its weights; `output` is no
            .safetensors file, or exists.
    """
    if output.suffix != ".safetensors":
        raise ConfigError(f"{output}: a name that ends in .safetensors is expected")
    refuse_existing(output, force=force)
    imported = read_foreign(project, source)
    network = foreign_network(imported, project, read_state(weights), name=str(weights))
    write_proved_weights(
        output,
        network,
        imported.architecture,
        num_classes=network.classifier.out_features,
        resolution=DEFAULT_RESOLUTION,
        source=f"{project} {source}",
    )
    params = sum(parameter.numel() for parameter in network.parameters())
    return f"{params:,} parameters for {network.classifier.out_features:,} classes, read back as they are"
