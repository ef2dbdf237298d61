"""Limits on parameters and MACs: uniform draws within them, loose, tight or impossible."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeConfig
from formula import formula_worker
from small_spaces import EQUALS, all_choices

from nas.search.config import check_networks, read_search_config
from nas.search.search import search
from search_spaces.choices.costs import SpaceCosts
from search_spaces.choices.limits import Limits
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.counting import count
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.executors.in_process import in_process

TINY = read_yaml(SearchSpace, "tiny")
PAPER = read_yaml(SearchSpace, "paper")
SMALL = {"num_classes": 10, "resolution": 32}


def within(space: SearchSpace, limits: Limits) -> set[tuple[int, ...]]:
    """By trying all: the distinct choices whose networks, counted whole, are within the limits."""
    found = set()
    for choices in all_choices(space):
        counts = count(space.decode(choices), **SMALL)
        if all(getattr(counts, name) <= most for name, most in limits.counted().items()):
            found.add(space.canonical(choices))
    return found


def test_summed_costs_of_choices_equal_counting_whole_networks() -> None:
    rng = np.random.default_rng(0)
    for space in (TINY, PAPER, EQUALS):
        costs = SpaceCosts(space, num_classes=7, resolution=64)
        for _ in range(30):
            choices = space.choice_space().sample(rng)
            counts = count(space.decode(choices), num_classes=7, resolution=64)
            reference = count(space.reference, num_classes=7, resolution=64)
            assert costs.figures(choices) == {"params": counts.params, "macs": counts.macs}
            assert costs.ratios(choices)["params"] == counts.params / reference.params


@pytest.mark.parametrize(("params", "macs"), [(0.04, 1), (0.3, 0.3), (0.5, 1), (1, 0.1)])
def test_samples_within_limits_are_uniform_over_distinct_architectures(params: float, macs: float) -> None:
    """Limits at these quantiles of the space: some are met by chance, others only by counting."""
    costs = SpaceCosts(EQUALS, **SMALL)
    figures = [costs.figures(choices) for choices in all_choices(EQUALS)]
    limits = Limits(
        params=int(np.quantile([f["params"] for f in figures], params)),
        macs=int(np.quantile([f["macs"] for f in figures], macs)),
    )
    space = replace(EQUALS, limits=limits)
    distinct = within(EQUALS, limits)
    assert 1 < len(distinct) < EQUALS.distinct_size
    seen, rng = space.choice_space(**SMALL), np.random.default_rng(0)
    counts = Counter(seen.sample(rng) for _ in range(60 * len(distinct)))
    assert counts.keys() == distinct
    statistic = sum((drawn - 60) ** 2 / 60 for drawn in counts.values())
    freedom = len(distinct) - 1
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5
    assert all(seen.is_allowed(choices) == (choices in distinct) for choices in map(EQUALS.canonical, counts))


def test_rare_architectures_within_limits_are_sampled_from_billions() -> None:
    """About 484,000 of 78 billion: too few to meet by chance, too many to list."""
    space = replace(PAPER, limits=Limits(params=4_000_000))
    seen, rng = space.choice_space(), np.random.default_rng(0)
    draws = [seen.sample(rng) for _ in range(1_000)]
    assert all(
        count(space.decode(c), num_classes=1000, resolution=224).params <= 4_000_000 for c in draws[:25]
    )
    assert len(set(draws)) > 975
    # The first stage has 24 channels; its kinds differ little in parameters, so all of them must occur.
    assert len({draw[:3] for draw in draws}) > 4


def test_limit_that_only_one_architecture_meets_samples_that_one() -> None:
    space = replace(PAPER, limits=Limits(params=3_812_956))
    assert space.choice_space().sample(np.random.default_rng(0)) == space.smallest()


def test_limit_that_no_architecture_meets_says_the_least_there_is() -> None:
    space = replace(PAPER, limits=Limits(params=3_812_955))
    with pytest.raises(ValueError, match=r"params at most 3,812,955, the fewest possible are 3,812,956"):
        space.choice_space().sample(np.random.default_rng(0))


def test_limits_that_no_architecture_meets_at_the_same_time_are_said() -> None:
    """In every stage one row has fewer parameters and the other fewer MACs."""
    costs = SpaceCosts(EQUALS, **SMALL)
    figures = [costs.figures(choices) for choices in all_choices(EQUALS)]
    least = {name: min(f[name] for f in figures) for name in ("params", "macs")}
    assert costs.least() == least
    fewest_macs = min(f["macs"] for f in figures if f["params"] == least["params"])
    space = replace(EQUALS, limits=Limits(params=least["params"], macs=fewest_macs))
    assert space.choice_space(**SMALL).sample(np.random.default_rng(0)) in within(EQUALS, space.limits)
    if fewest_macs > least["macs"]:
        space = replace(EQUALS, limits=Limits(params=least["params"], macs=fewest_macs - 1))
        with pytest.raises(ValueError, match="at the same time"):
            space.choice_space(**SMALL).sample(np.random.default_rng(0))


def test_sample_within_limits_depends_on_its_generator_alone() -> None:
    limits = Limits(params=8_000_000)
    first = replace(PAPER, limits=limits).choice_space()
    for i in range(50):
        first.sample(np.random.default_rng(i))
    second = replace(PAPER, limits=limits).choice_space()
    for i in (7, 3):
        assert first.sample(np.random.default_rng(i)) == second.sample(np.random.default_rng(i))


def test_neighbours_of_an_architecture_are_within_the_limits() -> None:
    space = replace(PAPER, limits=Limits(params=5_000_000)).choice_space()
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert all(space.is_allowed(neighbour) for neighbour in space.neighbours(space.sample(rng)))


def test_search_whose_limits_no_architecture_meets_is_refused_before_it_starts(tmp_path: Path) -> None:
    config = read_search_config("quick", overrides=["space.limits.params=1000"])
    with pytest.raises(ConfigError, match=r"space\.limits: no architecture of the space is within them"):
        check_networks(config, num_classes=10)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ("{params: 0}", "0 is out of range; it must be at least 1"),
        ("{params: -5}", "at least 1"),
        ("{params: 1.5}", "expected a whole number"),
        ("{parms: 5}", "did you mean 'params'"),
        ("{macs: .inf}", "give a finite one"),
        ("{step_time_ratio: 0}", "above 0"),
        ("5", "expected a mapping with the keys params"),
    ],
)
def test_wrong_limits_are_refused_by_place(limits: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_yaml(SearchSpace, "tiny", overrides=[f"limits={limits}"])


def test_a_search_proposes_nothing_beyond_its_limits(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(budget={"trials": 30})
    config = replace(config, space=replace(config.space, limits=Limits(params=60_000, macs=700_000)))
    execute = in_process(device="cpu")
    result = search(config, tmp_path / "run", execute=execute, start=formula_worker, num_classes=10)
    assert len(result.rows) >= 30
    for row in result.rows:
        counts = count(config.space.decode(row["choices"]), num_classes=10, resolution=16)
        assert counts.params <= 60_000
        assert counts.macs <= 700_000
