"""nas space: the file that it writes, what it says, and a search in it."""

import json
import re
from pathlib import Path

import pytest
from conftest import Nas
from old_runs import copy_old_run
from small_networks import SMALL

from nas.interchange.around import write_space_around
from nas.results.export import best_of_run
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml, write_yaml


def test_a_space_goes_from_a_network_to_a_search_that_begins_with_it(nas: Nas, tmp_path: Path) -> None:
    write_yaml(SMALL, tmp_path / "net.yaml")
    code, out, said = nas("space", "net.yaml", "--radius", "1", "-o", "space.yaml")
    assert (code, out) == (0, "")
    sizes = re.findall(r"([\d,]+) architectures around net.yaml", said)
    described = json.loads(nas("describe", "space.yaml", "--json", "--classes", "10")[1])
    assert [f"{described['distinct_size']:,}"] == sizes
    assert described["reference"]["architecture_id"] == SMALL.architecture_id
    words = said.split("next:  nas ")[1].split()
    assert words[:2] == ["search", "photos"]
    assert words[-4:] == ["--set", "space=space.yaml", "--init", "net.yaml"]
    short = ["budget.trials=1", "baseline=0", "finalists=null", "data.fraction=0.2", "recipe.epochs=1"]
    options = [word for each in short for word in ("--set", each)]
    code, out, err = nas(
        "search", "quick", *words[-4:], *options, "--set", "recipe.warmup_epochs=0",
        "--set", "recipe.resolution=16", "--run", "run", "--in-process", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert best_of_run(tmp_path / "run")[1].architecture_id == SMALL.architecture_id


def test_the_file_says_what_it_was_made_from_and_by_what_it_is_limited(nas: Nas) -> None:
    text = nas("space", "efficientnet-b0", "--limit", "params=1.5", "--limit", "macs=1.1", "--classes", "10")[
        1
    ]
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert "architectures around efficientnet-b0, which it contains" in comments
    assert "nas search photos --set data.source=DATA --set space=FILE --init efficientnet-b0" in comments
    assert "params 1.5 (with 10 classes), macs 1.1 (at 224 px)" in comments
    assert "step_time_table" not in comments
    assert "step_time_table" in nas("space", "efficientnet-b0")[1]
    assert "Limits" not in nas("space", "efficientnet-b0", "--limit", "none")[1]


def test_a_network_beyond_its_own_limits_is_not_trained_first(nas: Nas) -> None:
    assert "--init" not in nas("space", "efficientnet-b0", "--limit", "params=0.9")[1]


def test_other_projects_networks_and_runs_have_spaces_around_them(nas: Nas, tmp_path: Path) -> None:
    assert nas("export", "efficientnetv2-b0", "--format", "timm", "-o", "net.json")[0] == 0
    for source, project in (
        ("net.json", "timm"),
        ("tf_efficientnetv2_b0", "timm"),
        ("efficientnet_b0", "torchvision"),
    ):
        file = f"{source.partition('.')[0]}.yaml"
        code, _, said = nas("space", source, "--from", project, "-o", file)
        assert code == 0, said
        assert "--init" not in said  # which reads files of ours
        space = read_yaml(SearchSpace, tmp_path / file)
        assert space.encode(space.reference)
    assert read_yaml(SearchSpace, tmp_path / "tf_efficientnetv2_b0.yaml").padding == "same"
    copy_old_run(tmp_path / "run", "run_v2")
    assert nas("space", "run", "-o", "around.yaml")[0] == 0
    winner = best_of_run(tmp_path / "run")[1]
    assert read_yaml(SearchSpace, tmp_path / "around.yaml").reference == winner.without_provenance()


def test_a_space_never_replaces_a_file_unasked(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("mine")
    code, _, said = nas("space", "efficientnet-b0", "-o", "mine.yaml")
    assert (code, (tmp_path / "mine.yaml").read_text()) == (2, "mine")
    assert "--force" in said
    assert nas("space", "efficientnet-b0", "-o", "mine.yaml", "--force")[0] == 0
    assert read_yaml(SearchSpace, tmp_path / "mine.yaml")


def test_the_function_returns_what_the_command_writes(tmp_path: Path) -> None:
    made = write_space_around("efficientnetv2-b0", radius=2, output=tmp_path / "a" / "space.yaml")
    assert (tmp_path / "a" / "space.yaml").read_text() == made.text
    assert made.space.reference == read_yaml(Architecture, "efficientnetv2-b0")
    with pytest.raises(ValueError, match="choose another -o"):
        write_space_around("efficientnetv2-b0", output=tmp_path / "a" / "space.yaml")
