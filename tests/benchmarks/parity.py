"""Ours, timm's, torchvision's and ONNX's network side by side: parameters, and outputs from equal weights.

    python tests/benchmarks/parity.py [--random 20] [--onnx 3] [-o parity.csv]

Where a library does not load, or cannot express a network, the table says so. Where torchvision's compiled
operators do not load beside a CPU-only torch, their names are declared first, as
tests/fixtures/other_libraries.py does. A difference is over the largest output, at least 1, at 64
and 65 px.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))

from other_libraries import import_others, random_architectures

from nas.interchange.library_check import BUILDERS, largest_difference, library_network, with_random_norms
from nas.interchange.onnx_export import write_onnx
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.network import build_network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.pictures import SQUASHED

NAMES = ("efficientnetv2-s", "efficientnetv2-b0", "efficientnet-b0", "efficientnet-b4")
CLASSES = 1000


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--random", type=int, default=20, help="members of the paper's space")
    parser.add_argument("--onnx", type=int, default=3, help="how many of them as ONNX, which takes long")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        import_others()
    except Exception as error:
        print(f"timm and torchvision do not load here: {error}")
    named = {name: read_yaml(Architecture, name) for name in NAMES}
    drawn = {f"random {i}": a for i, a in enumerate(random_architectures(arguments.random))}
    rows = []
    for i, (name, architecture) in enumerate({**named, **drawn}.items()):
        rows.append(row(name, architecture, with_onnx=i < len(named) + arguments.onnx))
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if arguments.output is not None:
        table.to_csv(arguments.output, index=False)


def row(name: str, architecture: Architecture, *, with_onnx: bool) -> dict[str, object]:
    """One network's line: parameters, and the largest difference to each of the others."""
    params = count(architecture, num_classes=CLASSES, resolution=64).params
    found: dict[str, object] = {"network": name, "params": params}
    torch.manual_seed(0)
    ours = with_random_norms(build_network(architecture, num_classes=CLASSES))
    for library in BUILDERS:
        for padding in ("symmetric", "same"):
            if (library, padding) == ("torchvision", "same"):
                continue
            padded = replace(architecture, padding=padding)
            own = build_network(padded, num_classes=CLASSES)
            own.load_state_dict(ours.state_dict())
            found[f"{library} {padding}"] = difference(library, padded, own)
    if with_onnx:
        with tempfile.TemporaryDirectory() as folder:
            said = write_onnx(
                ours, architecture, Path(folder) / "a.onnx", resolution=64, classes=[], view=SQUASHED
            )
        found["onnx"] = said.split(" within ")[1].split()[0]
    return found


def difference(library: str, architecture: Architecture, ours: object) -> str:
    """As text; or why there is none."""
    try:
        other = library_network(library, architecture, num_classes=CLASSES)
    except (ImportError, RuntimeError):
        return "does not load"
    except ConfigError as error:
        return f"refused: {str(error)[:40]}"
    return f"{largest_difference(library, architecture, ours, other):.1e}"  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
