"""A search space around a network: what it offers, what it limits, and that it holds the network."""

from dataclasses import replace

import pytest
from small_networks import EXCHANGEABLE, SMALL, UNROUNDED

from search_spaces.choices.around import space_around, space_text
from search_spaces.choices.own_limits import DEFAULT_LIMITS, read_limits
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, read_yaml

PUBLISHED = sorted(path.stem for path in Architecture.SHIPPED.glob("*.yaml"))
OF_EACH_KIND = (
    "efficientnet-b0",
    "efficientnet-b1",
    "efficientnetv2-b0",
    "efficientnetv2-s",
)  # scaled or not
SIZE = {"num_classes": 10, "resolution": 32}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in OF_EACH_KIND else pytest.mark.nightly)
        for name in PUBLISHED
        if not name.startswith("resnet")
    ],
)
def test_the_space_around_a_published_network_reads_back_and_holds_it(name: str) -> None:
    network = read_yaml(Architecture, name)
    space = space_around(network, num_classes=1000, resolution=224)
    text = space_text(space, header=f"around {name}")
    back = from_mapping(SearchSpace, parse_yaml(text, name=name), name=name)
    assert text.startswith(f"# around {name}\n")
    assert back == space
    assert back.reference == network
    assert back.decode(back.encode(network)).architecture_id == network.architecture_id


@pytest.mark.parametrize(
    "network",
    [
        EXCHANGEABLE,
        UNROUNDED,
        replace(SMALL, stem_stride=1, padding="same"),
        replace(SMALL, stages=tuple(replace(stage, se_ratio=0.125) for stage in SMALL.stages)),
        replace(SMALL, stages=tuple(replace(stage, expansion_ratio=3) for stage in SMALL.stages)),
        replace(
            SMALL, stages=tuple(replace(stage, expansion_ratio=3.5, kernel_size=7) for stage in SMALL.stages)
        ),
        replace(
            SMALL, activation="relu", stages=(replace(SMALL.stages[0], activation="silu"), *SMALL.stages[1:])
        ),
        replace(SMALL, stages=(replace(SMALL.stages[0], activation="gelu"), *SMALL.stages[1:])),
    ],
    ids=[
        "an absent stage",
        "odd channels",
        "stem and padding",
        "squeeze ratios",
        "expansion of 3",
        "kernels of 7",
        "another activation",
        "another activation in a stage",
    ],
)
@pytest.mark.parametrize("radius", [1, 3])
def test_every_network_of_our_ops_is_in_the_space_around_it(network: Architecture, radius: int) -> None:
    space = space_around(network, radius=radius, **SIZE)
    space = from_mapping(SearchSpace, parse_yaml(space_text(space, header=""), name="a"), name="a")
    assert space.decode(space.encode(network)).architecture_id == network.architecture_id


def test_options_lie_within_the_radius_of_each_stages_own() -> None:
    network = read_yaml(Architecture, "efficientnetv2-b0")
    first, *_, last = space_around(network, **SIZE).stages
    assert first.op == ("fused_mbconv", "mbconv")  # its own first
    assert (first.kernel_size, first.expansion_ratio, first.layers) == ((3, 5), (1, 4), (1, 2))
    assert last.op == ("mbconv", "fused_mbconv")
    assert (last.expansion_ratio, last.layers, last.channels) == ((4, 6), (7, 8, 9), (192,))
    assert last.se_ratio == {"mbconv": 0.25, "fused_mbconv": 0.0}
    last = space_around(network, radius=2, **SIZE).stages[-1]
    assert (last.expansion_ratio, last.layers) == ((1, 4, 6), (6, 7, 8, 9, 10))


def test_limits_are_multiples_of_the_networks_own_costs() -> None:
    counts = count(SMALL, **SIZE)
    limits = space_around(SMALL, **SIZE).limits
    assert limits.params == int(1.2 * counts.params)
    assert (limits.macs, limits.step_time_ratio) == (None, 1.2)
    limits = space_around(SMALL, limits={"macs": 1.5, "inference_time_ratio": 2.0}, **SIZE).limits
    assert limits.macs == int(1.5 * counts.macs)
    assert (limits.params, limits.inference_time_ratio) == (None, 2.0)
    assert space_around(SMALL, limits={}, **SIZE).limits.counted() == {}


def test_nothing_is_drawn_beyond_the_limits_of_the_space() -> None:
    import numpy as np

    space = space_around(SMALL, limits={"params": 1.0}, **SIZE)
    choices, rng = space.choice_space(**SIZE), np.random.default_rng(0)
    most = count(SMALL, **SIZE).params
    drawn = [count(space.decode(choices.sample(rng)), **SIZE).params for _ in range(50)]
    assert max(drawn) <= most
    assert min(drawn) < most


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.startswith("resnet")])
def test_a_resnet_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"it is a ResNet .* name a network without a kind"):
        space_around(read_yaml(Architecture, name), **SIZE)


def test_limits_that_nothing_keeps_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"the fewest possible are .* give larger factors"):
        space_around(SMALL, limits={"params": 0.1}, **SIZE)


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (1e-9, r"^params=1e-09: 1e-09 times its own [\d,]+ is less than 1; give a larger factor$"),
        (
            1e308,
            r"^params=1e\+308: 1e\+308 times its own [\d,]+ is too large; give a smaller factor$",
        ),
    ],
)
def test_factors_that_make_no_limit_are_refused(factor: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space_around(SMALL, limits={"params": factor}, **SIZE)


def test_typed_limits_are_read_and_others_refused() -> None:
    assert read_limits([]) == DEFAULT_LIMITS
    assert read_limits(["none"]) == {}
    assert read_limits(["macs=1.5", "params=2"]) == {"macs": 1.5, "params": 2.0}
    for words, message in (
        (["params"], "expected params=FACTOR"),
        (["latency=2"], "expected params=FACTOR"),
        (["parms=2"], "did you mean 'params'"),
        (["params=nan"], "expected a factor above 0"),
        (["params=0"], "expected a factor above 0"),
        (["params=1", "params=2"], "given twice"),
        (["params=1", "none"], "or none alone"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_limits(words)
