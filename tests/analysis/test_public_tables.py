"""The tables that come with the project are whole, are of our networks, and can be searched by name."""

import json
import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import Nas

from analysis.public_tables import TABLES, public_tables, read_public_table
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.counting import count
from search_spaces.settings.yaml_files import read_yaml


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return read_public_table("small_cifar10")


def test_public_table_holds_every_network_of_its_space_once(table: pd.DataFrame) -> None:
    space = read_yaml(SearchSpace, "small")
    assert len(table) == 128
    every = product(*(range(number) for number in space.choice_space().num_options))
    assert {tuple(map(int, choices)) for choices in table.choices} == set(every)
    for choices, name in zip(table.choices, table.architecture_id, strict=True):
        assert space.decode(tuple(choices)).architecture_id == name


def test_public_table_has_the_counts_and_stages_of_its_networks(table: pd.DataFrame) -> None:
    space = read_yaml(SearchSpace, "small")
    for row in table.itertuples():
        architecture = space.decode(tuple(row.choices))  # type: ignore[arg-type]
        counts = count(architecture, num_classes=10, resolution=32)
        assert (row.params, row.macs) == (counts.params, counts.macs)
        for i, stage in enumerate(architecture.stages, start=1):
            assert getattr(row, f"stage{i}_op") == stage.op
            assert getattr(row, f"stage{i}_kernel_size") == stage.kernel_size
            assert getattr(row, f"stage{i}_expansion_ratio") == stage.expansion_ratio


def test_measured_columns_of_a_public_table_are_complete_and_in_their_range(table: pd.DataFrame) -> None:
    assert not table.drop(columns="timing_flag").isna().any().any()
    assert table.timing_flag.isna().mean() > 0.9
    for name in ("accuracy", "accuracy_1"):
        assert table[name].between(0.2, 0.9).all()
    assert table.step_time_ratio.between(0.2, 3).all()
    assert (table.step_time_ratio_spread < 0.5).all()
    seconds = table.step_seconds / table.step_time_ratio  # of the reference, which is the same in all rows
    assert np.ptp(np.log(seconds)) < 0.7


@pytest.mark.parametrize("name", public_tables())
def test_public_table_is_small_and_its_columns_are_explained(name: str) -> None:
    assert (TABLES / f"{name}.parquet").stat().st_size < 2_000_000
    explained = (TABLES / "README.md").read_text()
    assert f"`{name}`" in explained
    patterns = [re.escape(word).replace("N", r"\d") for word in re.findall(r"`([a-zN_0-9]+)`", explained)]
    missing = [c for c in read_public_table(name).columns if not any(re.fullmatch(p, c) for p in patterns)]
    assert missing == []


def test_strategies_are_compared_on_a_public_table_by_its_name(nas: Nas) -> None:
    code, out, err = nas(
        "simulate", "small_cifar10", "--strategies", "random_search", "--trials", 40, "--json"
    )
    assert code == 0, err
    figures = json.loads(out)
    assert (figures["architectures"], figures["best_is_known"]) == (128, True)
    assert figures["columns"]["step_time"] == ["step_time_ratio"]


def test_unknown_name_of_a_public_table_is_refused_with_those_there_are() -> None:
    with pytest.raises(FileNotFoundError, match="small_cifar10"):
        read_public_table("../small_cifar10")
