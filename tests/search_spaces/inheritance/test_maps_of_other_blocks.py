"""Weight maps of ResNets and of own ops: equal blocks are copied, others new."""

from dataclasses import replace

import pytest
import torch
from inheriting import (
    CLASSES,
    around,
    begun,
    fresh,
    settled,
    transferred,
)

from search_spaces.inheritance.transfer import WeightTransfer
from search_spaces.inheritance.weight_maps import weight_map
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.training.weights_file import floating_tensors


def test_resnets_equal_blocks_are_copied_and_others_new() -> None:
    small = replace(
        (large := read_yaml(Architecture, "resnet50")),
        stem_channels=8,
        stages=tuple(replace(stage, channels=16, layers=2) for stage in large.stages),
        head_channels=16,
    )
    deeper = replace(small, stages=(*small.stages[:-1], replace(small.stages[-1], layers=3)))
    source, network, weights = begun(small, deeper)
    assert not weights.is_exact
    found, own = floating_tensors(network), fresh(deeper, seed=2).state_dict()
    for name, tensor in floating_tensors(source).items():
        assert torch.equal(found[name], tensor), name
    new = [name for name in found if name.startswith("stages.3.2.")]
    assert new
    assert all(torch.equal(found[name], own[name]) for name in new)


def test_own_ops_are_copied_whole_or_new() -> None:
    own_ops = frozenset({"mbconv"})
    weights = weight_map(
        around("inverted"), around("inverted", kernel_size=5), num_classes=CLASSES, own_ops=own_ops
    )
    assert not weights.is_exact
    assert weights.changes == ("stage 2: new MBConv, not exact (2 blocks)",)
    network, own = transferred(settled(around("inverted")), weights)
    found, source = network.state_dict(), settled(around("inverted")).state_dict()
    assert torch.equal(found["stages.1.1.expand.0.weight"], own["stages.1.1.expand.0.weight"])
    assert torch.equal(found["stages.2.1.expand.0.weight"], source["stages.2.1.expand.0.weight"])


def test_an_own_op_that_gives_way_to_a_shipped_one_is_not_kept() -> None:
    parent, child = around("inverted"), around("fused")
    weights = weight_map(parent, child, num_classes=CLASSES, own_ops=frozenset({"mbconv"}))
    assert not weights.is_exact
    assert any("dropped" in change for change in weights.changes)
    assert all(block.map.kept < 1 for block in weights.blocks if block.name.startswith("stages.1"))


def test_networks_of_two_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"resnet cannot begin from an EfficientNet: they have no block"):
        weight_map(around("fused"), read_yaml(Architecture, "resnet50"), num_classes=CLASSES)


def test_tensors_of_another_network_are_refused() -> None:
    weights = weight_map(around("fused"), around("fused", layers=3), num_classes=CLASSES)
    own = floating_tensors(fresh(weights.child, seed=2))
    for other, message in (
        (
            around("fused", channels=8),
            r"the parent's stages\.1\.0\S+ has the shape \(8, .*is expected of its",
        ),
        (around("inverted"), r"the parent's tensors lack stages\.1\.0\.branch\.0\.0\.weight"),
    ):
        with pytest.raises(ValueError, match=message):
            WeightTransfer(weights).weights(floating_tensors(settled(other)), own)
    replaced = own | {"stages.1.0.second.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"the child has stages\.1\.0\.second\.weight.*name it in own_ops"):
        WeightTransfer(weights).weights(floating_tensors(settled(around("fused"))), replaced)
    with pytest.raises(ValueError, match=r"the child's tensors lack stages\.1\.2\."):
        WeightTransfer(weights).weights(
            floating_tensors(settled(around("fused"))), floating_tensors(settled(around("fused")))
        )
