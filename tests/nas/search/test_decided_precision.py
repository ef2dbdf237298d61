"""The precision of a run whose recipe says `auto`: one for all of its networks."""

from typing import Any

import pytest
import torch

from nas.search.config import SearchConfig
from nas.search.decided_precision import decided_precision
from search_spaces.settings.yaml_files import read_yaml


def made_up_gpus(patch: pytest.MonkeyPatch, *capabilities: tuple[int, int]) -> None:
    patch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[device.index])
    patch.setattr(torch.cuda, "device_count", lambda: len(capabilities))


def config_of(precision: str) -> SearchConfig:
    return read_yaml(SearchConfig, "cifar10", overrides=[f"recipe.precision={precision}"])


def test_a_new_run_takes_the_precision_of_the_weakest_gpu_here(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up_gpus(monkeypatch, (9, 0), (7, 5))
    decided = decided_precision(config_of("auto"), [])
    assert decided is not None
    assert (decided.precision, decided.device_type) == ("fp16", "cuda")
    made_up_gpus(monkeypatch)
    assert decided_precision(config_of("auto"), []) is None


def test_a_run_that_is_continued_keeps_its_precision_on_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up_gpus(monkeypatch, (7, 5))
    rows: list[Any] = [
        {"precision": None, "status": "crashed"},
        {"precision": "bf16", "status": "completed"},  # of an earlier version, which gave no reason
    ]
    decided = decided_precision(config_of("auto"), rows)
    assert decided is not None
    assert (decided.precision, decided.device_type) == ("bf16", None)


def test_nothing_is_decided_where_the_search_file_says_a_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up_gpus(monkeypatch, (9, 0))
    assert decided_precision(config_of("fp32"), []) is None
