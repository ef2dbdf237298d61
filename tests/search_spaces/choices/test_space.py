"""Search spaces: sizes, decoding and encoding, canonical choices, uniform samples, neighbours."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_spaces import EQUALS, all_choices, space_of

from nas.search.config import read_search_config
from search_spaces.choices.choice_space import ChoiceSpace
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, read_yaml, yaml_text

SHIPPED = sorted(path.stem for path in SearchSpace.SHIPPED.glob("*.yaml"))


def test_the_papers_space_has_78_364_164_096_architectures() -> None:
    space = read_yaml(SearchSpace, "paper")
    assert space.size == 78_364_164_096
    assert len(space.decisions) == 28
    assert [d.field for d in space.decisions[:4]] == ["op", "kernel_size", "expansion_ratio", "layers"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_spaces_hold_their_reference_and_round_trip(name: str) -> None:
    space = read_yaml(SearchSpace, name)
    assert space.decode(space.encode(space.reference)).architecture_id == space.reference.architecture_id
    text = yaml_text(space, header="a space")
    assert from_mapping(SearchSpace, parse_yaml(text, name=name), name=name) == space
    smallest, largest = space.decode(space.smallest()), space.decode(space.largest())
    shallow, deep = (sum(1 for _ in architecture.blocks()) for architecture in (smallest, largest))
    varies = any(len(stage.layers) > 1 for stage in space.stages)
    assert shallow < deep if varies else (shallow == deep and smallest != largest)


@pytest.mark.parametrize("name", SHIPPED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_decode_and_encode_are_inverse(name: str, data: st.DataObject) -> None:
    space = read_yaml(SearchSpace, name)
    choices = tuple(data.draw(st.integers(0, count - 1)) for count in space.num_options)
    canonical = space.canonical(choices)
    assert space.encode(space.decode(choices)) == canonical == space.canonical(canonical)
    assert space.decode(canonical).architecture_id == space.decode(choices).architecture_id


def test_each_network_has_one_canonical_tuple_of_choices() -> None:
    by_network: dict[str, set[tuple[int, ...]]] = {}
    for choices in all_choices(EQUALS):
        canonical = EQUALS.canonical(choices)
        identity = EQUALS.decode(choices).architecture_id
        assert EQUALS.decode(canonical).architecture_id == identity
        assert EQUALS.canonical(canonical) == canonical
        assert canonical <= choices
        by_network.setdefault(identity, set()).add(canonical)
    assert all(len(group) == 1 for group in by_network.values())
    assert len(by_network) < EQUALS.size


def test_samples_of_a_space_are_uniform_over_distinct_architectures() -> None:
    distinct = {EQUALS.canonical(choices) for choices in all_choices(EQUALS)}
    space, rng = EQUALS.choice_space(), np.random.default_rng(0)
    draws = 60 * len(distinct)
    counts = Counter(space.sample(rng) for _ in range(draws))
    assert counts.keys() == distinct
    statistic = sum((count - 60) ** 2 / 60 for count in counts.values())
    freedom = len(distinct) - 1
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5


def test_neighbours_differ_in_one_decision_and_build_other_networks() -> None:
    space = EQUALS.choice_space()
    for choices in all_choices(EQUALS):
        canonical = EQUALS.canonical(choices)
        neighbours = space.neighbours(canonical)
        assert len(set(neighbours)) == len(neighbours)
        identity = EQUALS.decode(canonical).architecture_id
        for neighbour in neighbours:
            assert EQUALS.canonical(neighbour) == neighbour
            assert EQUALS.decode(neighbour).architecture_id != identity


def test_neighbours_of_an_injective_space_are_all_single_changes() -> None:
    space = read_yaml(SearchSpace, "tiny")
    rng = np.random.default_rng(1)
    choices = space.choice_space().sample(rng)
    neighbours = space.choice_space().neighbours(choices)
    assert len(neighbours) == sum(count - 1 for count in space.num_options)
    assert all(sum(a != b for a, b in zip(n, choices, strict=True)) == 1 for n in neighbours)


def test_encode_refuses_what_is_not_in_the_space() -> None:
    space = read_yaml(SearchSpace, "tiny")
    with pytest.raises(ValueError, match=r"^stem_channels: .* given; expected"):
        space.encode(read_yaml(SearchSpace, "cifar").reference)


def test_decode_refuses_wrong_choices() -> None:
    space = read_yaml(SearchSpace, "tiny")
    with pytest.raises(ValueError, match="has 16 decisions"):
        space.decode((0,))
    with pytest.raises(ValueError, match="options are 0 to 1"):
        space.decode((2, *[0] * 15))


def test_space_of_one_architecture_samples_it_and_has_no_neighbours() -> None:
    space = space_of({"op": "mbconv", "kernel_size": 3, "expansion_ratio": 4, "channels": 8, "layers": 1})
    assert (space.size, space.num_options) == (1, ())
    choices = space.choice_space()
    assert choices.sample(np.random.default_rng(0)) == ()
    assert choices.neighbours(()) == []


def test_table_of_choices_is_a_space_of_exactly_its_rows() -> None:
    rows = [(0, 0), (0, 1), (2, 1), (2, 1)]
    space = ChoiceSpace.from_table(rows)
    assert space.size == 3
    rng = np.random.default_rng(0)
    counts = Counter(space.sample(rng) for _ in range(900))
    assert counts.keys() == set(rows)
    assert all(abs(count - 300) < 75 for count in counts.values())
    assert space.neighbours((0, 1)) == [(2, 1), (0, 0)]
    assert not space.is_allowed((1, 1))


def test_samples_keep_the_limits_and_a_space_without_members_is_refused() -> None:
    space = ChoiceSpace((4, 4), is_allowed=lambda choices: sum(choices) <= 1)
    rng = np.random.default_rng(0)
    assert {space.sample(rng) for _ in range(100)} == {(0, 0), (0, 1), (1, 0)}
    assert space.neighbours((0, 1)) == [(0, 0)]
    nothing = ChoiceSpace((4, 4), is_allowed=lambda choices: False)
    with pytest.raises(ValueError, match="outside the limits"):
        nothing.sample(rng)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ({"layers": []}, "layers: an empty list given; expected at least 1 item, each a whole number"),
        ({"layers": [1, 1]}, "an option stands twice"),
        ({"stride": 2, "layers": [0, 1]}, "stride 2 cannot have 0 layers"),
        ({"kernel_size": 4}, "4 is not one of 1, 3, 5, 7, 9, 11"),
        ({"op": ["mbconv", "fusd_mbconv"]}, "did you mean 'fused_mbconv'"),
        ({"channels": 0}, "at least 1"),
        ({"se_ratio": {"mbconv": 0.25}, "op": ["mbconv", "fused_mbconv"]}, "no value for fused_mbconv"),
        ({"layers": [0]}, "leave the stage out"),
        ({"layers": [0, 1]}, "one at least must always be there"),
    ],
)
def test_wrong_stages_of_a_space_are_refused_by_place(stage: dict[str, Any], words: str) -> None:
    whole = {"op": "mbconv", "kernel_size": 3, "expansion_ratio": 4, "channels": 8, "layers": [1, 2]}
    with pytest.raises(ConfigError, match=words):
        space_of({**whole, **stage})


TEN_LINES = """\
stem_channels: 16
stages:
- {op: fused_mbconv, kernel_size: 3, expansion_ratio: [1, 4], channels: 16, layers: [1, 2]}
- {op: [mbconv, fused_mbconv], kernel_size: 3, stride: 2, expansion_ratio: 4, channels: [24, 32], layers: 2}
- {op: mbconv, kernel_size: [3, 5], stride: 2, expansion_ratio: [4, 6], channels: 64, layers: [2, 3, 4]}
- {op: mbconv, kernel_size: 3, expansion_ratio: [4, 6], channels: 96, layers: [0, 1, 2]}
head_channels: 256
reference: efficientnetv2-b0
limits: {params: 2e6, macs: 50e6}
"""


def test_space_file_of_ten_lines_is_read_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(TEN_LINES)
    monkeypatch.chdir(tmp_path)
    config = read_search_config("quick", overrides=["space=mine.yaml"])
    assert config.space.distinct_size == 4 * 4 * 12 * 5
    assert config.space.limits.params == 2_000_000
    assert config.space.reference == read_yaml(Architecture, "efficientnetv2-b0")
