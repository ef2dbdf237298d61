"""Weights of blocks of other ops than MBConv and Fused-MBConv: copied where they are equal, new elsewhere."""

from dataclasses import replace

import pytest
import torch
from inheriting import begun, fresh

from search_spaces.inheritance.distance import distance
from search_spaces.networks.architecture import Architecture, Stage
from trials.training.weights_file import floating_tensors


@pytest.mark.parametrize("op", ["uib", "convnext", "basic", "bottleneck", "conv"])
def test_blocks_of_other_ops_are_copied_where_they_are_equal_and_new_elsewhere(op: str) -> None:
    expansion = 1 if op in ("basic", "conv") else 2
    stage = Stage(
        op=op,  # type: ignore[arg-type]
        start_kernel_size=3 if op == "uib" else 0,
        expansion_ratio=expansion,
        channels=16,
        layers=2,
    )
    parent = Architecture(stem_channels=16, stages=(stage,), head_channels=16)
    child = replace(parent, stages=(replace(stage, layers=3),))
    source, network, weights = begun(parent, child)
    assert not weights.is_exact
    found, own = floating_tensors(network), fresh(child, seed=2).state_dict()
    for name, tensor in floating_tensors(source).items():
        assert torch.equal(found[name], tensor), name
    new = [name for name in found if name.startswith("stages.0.2.")]
    assert new
    assert all(torch.equal(found[name], own[name]) for name in new)
    assert 0 == distance(parent, parent) < distance(parent, child) < 1
    # Between one of these ops and MBConv nothing is carried over but stem, head and classifier.
    plain = replace(parent, stages=(Stage(op="mbconv", expansion_ratio=2, channels=16, layers=2),))
    for first, second in ((parent, plain), (plain, parent)):
        assert not begun(first, second)[2].is_exact


def test_a_uib_without_a_start_inherits_as_the_mbconv_that_it_is() -> None:
    stage = Stage(op="mbconv", expansion_ratio=2, channels=16, layers=2)
    parent = Architecture(stem_channels=16, stages=(stage,), head_channels=16)
    source, network, weights = begun(parent, replace(parent, stages=(replace(stage, op="uib"),)))
    assert weights.is_exact
    assert distance(parent, weights.child) == 0
    found = floating_tensors(network)
    assert all(torch.equal(found[name], tensor) for name, tensor in floating_tensors(source).items())
