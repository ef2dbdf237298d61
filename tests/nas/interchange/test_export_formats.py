"""nas export and nas import as a user types them: every format, what is proved, ONNX run by onnxruntime."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Nas
from safetensors.torch import save_file
from small_networks import EXCHANGEABLE, SMALL

from nas.commands.export import Format
from nas.commands.options import Project
from nas.interchange.export_formats import read_source
from nas.interchange.library_check import with_random_norms
from nas.training.evaluation import evaluation_resolution
from search_spaces.interchange.files import FORMATS
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml, write_yaml
from trials.training.foreign_weights import foreign_state
from trials.training.weights_file import load_weights, save_weights

FACTS = {"num_classes": 7, "classes": list("abcdefg"), "resolution": 40, "accuracy": 0.5}
without_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")), reason="no ONNX here"
)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A training's folder with its best weights."""
    torch.manual_seed(3)
    folder = tmp_path / "train"
    (folder / "weights").mkdir(parents=True)
    network = with_random_norms(build_network(EXCHANGEABLE, num_classes=7))
    save_weights(folder / "weights" / "best.safetensors", network, EXCHANGEABLE, **FACTS)
    return folder


@pytest.mark.parametrize("project", ["timm", "torchvision"])
def test_architecture_exported_to_a_project_and_imported_is_the_same(
    nas: Nas, tmp_path: Path, project: str
) -> None:
    write_yaml(EXCHANGEABLE, tmp_path / "net.yaml")
    code, _, said = nas("export", "net.yaml", "--format", project, "-o", "net.json")
    assert code == 0, said
    assert "parameters, read back as the same network" in said
    code, _, said = nas("import", "net.json", "--from", project, "-o", "back.yaml")
    assert code == 0, said
    assert read_yaml(Architecture, tmp_path / "back.yaml").architecture_id == EXCHANGEABLE.architecture_id
    code, printed, _ = nas("describe", "back.yaml")
    assert f"from {project} net.json" in printed


def test_weights_without_names_and_resolution_have_the_same_ones_for_every_command(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_weights(file, build_network(SMALL, num_classes=3), SMALL, num_classes=3)
    weights = load_weights(file)
    assert (weights.classes, weights.resolution) == (("0", "1", "2"), 224)
    assert evaluation_resolution(weights, None) == read_source(str(file), trial=None).resolution == 224


def test_commands_offer_the_projects_that_there_are() -> None:
    assert set(Project) == set(FORMATS)
    assert set(Format) == {"yaml", "onnx", "torch", "card", *Project}


def test_a_published_name_is_exported_and_imported_to_standard_output(nas: Nas) -> None:
    _, printed, _ = nas("export", "efficientnet-b0", "--format", "timm")
    assert json.loads(printed)["arch_def"][0] == ["ds_r1_k3_s1_e1_c16_se0.25"]
    code, printed, _ = nas("import", "efficientnetv2-b0", "--from", "automl")
    assert code == 0
    assert "padding: same" in printed


def test_a_misspelt_published_name_is_not_taken_for_a_run(nas: Nas) -> None:
    code, _, said = nas("export", "efficientnetv2-bo")
    assert code == 2
    assert "did you mean 'efficientnetv2-b0'?" in said
    assert "no such folder" in nas("export", "runs/flowers")[2]


def test_export_that_a_project_cannot_express_says_why_and_writes_no_file(nas: Nas, tmp_path: Path) -> None:
    stages = (replace(EXCHANGEABLE.stages[1], se_ratio=0.25),)
    write_yaml(replace(EXCHANGEABLE, stages=stages), tmp_path / "net.yaml")
    code, _, said = nas("export", "net.yaml", "--format", "torchvision", "-o", "net.json")
    assert (code, (tmp_path / "net.json").exists()) == (2, False)
    assert "stage 1: torchvision has no squeeze-excite in a Fused-MBConv" in said


def test_exported_weights_hold_their_architecture(nas: Nas, tmp_path: Path, trained: Path) -> None:
    code, _, said = nas("export", trained, "--format", "torch", "-o", "w.safetensors")
    assert code == 0, said
    assert "the same outputs" in said
    assert "fresh" not in said
    found = load_weights(tmp_path / "w.safetensors")
    assert found.architecture == EXCHANGEABLE
    assert found.facts == FACTS
    assert nas("export", "w.safetensors", "--format", "timm")[0] == 0
    assert nas("export", "w.safetensors")[1].count("op:") == 5


def test_export_of_weights_for_an_architecture_alone_says_that_they_are_fresh(
    nas: Nas, tmp_path: Path
) -> None:
    write_yaml(replace(EXCHANGEABLE, provenance={"num_classes": 7}), tmp_path / "net.yaml")
    assert "fresh weights" in nas("export", "net.yaml", "--format", "torch", "-o", "a.safetensors")[2]
    nas("export", "net.yaml", "--format", "torch", "-o", "b.safetensors")
    first, second = (load_weights(tmp_path / f"{name}.safetensors") for name in "ab")
    assert first.facts["num_classes"] == 7
    assert all(torch.equal(second.tensors[key], tensor) for key, tensor in first.tensors.items())


@without_onnx
def test_onnx_gives_our_outputs_at_any_batch_size(nas: Nas, tmp_path: Path, trained: Path) -> None:
    import onnx
    import onnxruntime

    code, _, said = nas("export", trained, "--format", "onnx", "-o", "net.onnx")
    assert code == 0, said
    assert "at batches of 1 and 3, 40 px" in said
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    network = load_weights(trained / "weights" / "best.safetensors").network().eval()
    for batch in (2, 17):
        images = torch.randn(batch, 3, 40, 40)
        (found,) = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, network(images).numpy(), rtol=0, atol=1e-4)
    model = onnx.load(str(tmp_path / "net.onnx"))
    facts = {item.key: item.value for item in model.metadata_props}
    assert json.loads(facts["classes"]) == FACTS["classes"]
    assert json.loads(facts["architecture"])["head_channels"] == 64
    assert str(tmp_path).encode() not in model.SerializeToString()
    assert b"/search_spaces/" not in model.SerializeToString()  # no paths of this machine
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("project", ["timm", "torchvision"])
def test_published_weights_become_weights_of_ours(nas: Nas, tmp_path: Path, project: str) -> None:
    torch.manual_seed(1)
    network = with_random_norms(build_network(EXCHANGEABLE, num_classes=7))
    write_yaml(EXCHANGEABLE, tmp_path / "net.yaml")
    assert nas("export", "net.yaml", "--format", project, "-o", "net.json")[0] == 0
    state = {
        name: tensor.contiguous() for name, tensor in foreign_state(network, EXCHANGEABLE, project).items()
    }
    save_file(state, tmp_path / "theirs.safetensors")
    code, _, said = nas(
        "import", "net.json", "--from", project, "--weights", "theirs.safetensors", "-o", "ours.safetensors"
    )
    assert code == 0, said
    assert "for 7 classes" in said
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        found = load_weights(tmp_path / "ours.safetensors").network().eval()(images)
        torch.testing.assert_close(found, network(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("project", "padding"), [("automl", "same"), ("torchvision", "symmetric")])
def test_another_padding_makes_a_network_expressible_and_is_said(
    nas: Nas, tmp_path: Path, project: str, padding: str
) -> None:
    other = "symmetric" if padding == "same" else "same"
    write_yaml(replace(EXCHANGEABLE, padding=other), tmp_path / "net.yaml")
    code, _, said = nas("export", "net.yaml", "--format", project)
    assert code == 2
    assert f"nas export --padding {padding}" in said
    code, _, said = nas("export", "net.yaml", "--format", project, "--padding", padding, "-o", "net.json")
    assert code == 0, said
    assert f"padding: {padding} instead of {other}: the same parameters and MACs, other outputs" in said
    assert nas("import", "net.json", "--from", project, "-o", "back.yaml")[0] == 0
    back = read_yaml(Architecture, tmp_path / "back.yaml")
    assert back.architecture_id == replace(EXCHANGEABLE, padding=padding).architecture_id
    counts = [count(net, num_classes=7, resolution=40) for net in (back, EXCHANGEABLE)]
    assert (counts[0].params, counts[0].macs) == (counts[1].params, counts[1].macs)
    code, printed, said = nas("export", "net.yaml", "--format", project, "--padding", padding)
    assert (code, json.loads(printed)) == (0, json.loads((tmp_path / "net.json").read_text()))
    assert "other outputs" in said


def test_a_padding_that_a_network_has_changes_nothing(nas: Nas, tmp_path: Path) -> None:
    write_yaml(EXCHANGEABLE, tmp_path / "net.yaml")
    code, _, said = nas("export", "net.yaml", "--format", "timm", "--padding", "symmetric", "-o", "net.json")
    assert code == 0
    assert "instead of" not in said


def test_another_padding_is_refused_for_weights_and_for_our_own_formats(
    nas: Nas, tmp_path: Path, trained: Path
) -> None:
    code, _, said = nas("export", trained, "--format", "automl", "--padding", "same", "-o", "net.json")
    assert (code, (tmp_path / "net.json").exists()) == (2, False)
    assert "holds weights, which were trained with padding: symmetric" in said
    code, _, said = nas("export", "efficientnet-b0", "--format", "onnx", "--padding", "same", "-o", "n.onnx")
    assert (code, (tmp_path / "n.onnx").exists()) == (2, False)
    assert "--padding goes with --format" in said
