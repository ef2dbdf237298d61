"""Networks of a comparison by words: files, published names, runs, trials, trainings."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import Nas
from old_runs import copy_old_run
from small_networks import SMALL, WIDE

from nas.comparing.networks import read_networks
from nas.results.export import best_of_run, exported_row
from nas.search.best_file import architecture_of
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import build_network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml, write_yaml
from trials.training.weights_file import save_weights


def test_networks_are_read_from_files_published_names_runs_trials_and_weights(tmp_path: Path) -> None:
    write_yaml(SMALL, tmp_path / "mine.yaml")
    run = copy_old_run(tmp_path / "flowers", "run_v2")
    weights = tmp_path / "trained" / "weights" / "best.safetensors"
    weights.parent.mkdir(parents=True)
    save_weights(weights, build_network(WIDE, num_classes=10), WIDE, num_classes=10)
    sources = [tmp_path / "mine.yaml", "efficientnetv2-b0", run, f"{run}:4", weights, tmp_path / "trained"]
    found = read_networks([*map(str, sources[:5])])
    assert list(found) == ["mine", "efficientnetv2-b0", "flowers", "flowers-4", "trained"]
    row, _ = exported_row(run, trial=4)
    expected = [
        SMALL, read_yaml(Architecture, "efficientnetv2-b0"), best_of_run(run)[1], architecture_of(row), WIDE,
    ]  # fmt: skip
    assert [each.architecture for each in found.values()] == expected
    assert found["flowers-4"].source == f"{run}:4"
    assert (found["flowers-4"].architecture.provenance or {})["trial_id"] == 4
    assert read_networks([str(sources[5])])["trained"].architecture == WIDE


def test_two_networks_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder, architecture in (("a", SMALL), ("b", WIDE)):
        (tmp_path / folder).mkdir()
        write_yaml(architecture, tmp_path / folder / "best.yaml")
    with pytest.raises(ConfigError, match=r"b/best\.yaml: .*a/best\.yaml is called best, too"):
        read_networks([str(tmp_path / folder / "best.yaml") for folder in ("a", "b")])


def test_a_run_s_network_of_a_name_that_is_taken_is_exported_under_another(
    tmp_path: Path, nas: Nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [copy_old_run(tmp_path / folder / "photos", "run_v2") for folder in ("a", "b")]
    for last, name in ((str(runs[1]), "photos"), (f"{runs[1]}:4", "photos-4")):
        first = last.replace(str(runs[1]), str(runs[0]))
        with pytest.raises(ConfigError, match=f"is called {name}, too; name each network once") as refused:
            read_networks([first, last])
        (command,) = re.findall(r"another name:  nas (.+)$", str(refused.value))
        code, _, said = nas(*shlex.split(command))
        assert code == 0, said
        found = read_networks([first, f"{name}-2.yaml"])
        assert list(found) == [name, f"{name}-2"]
        assert found[name].architecture_id == found[f"{name}-2"].architecture_id
