"""GPUs and slices of GPUs under all of their names: one lock and one id each, workers on all of them."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from made_up_nvml import GPU, OTHER, SECOND, SLICE, SLICED, MadeUpNvml, made_up_nvml

from nas.commands.launch import executor_of
from nas.commands.options import Executor
from trials.devices.device import available_slots, device_info, lock_of
from trials.devices.device_lock import DeviceLock
from trials.devices.nvml import gpu_id
from trials.devices.visible_gpus import VARIABLE, gpus_here, name_of, unseen_words
from trials.executors import ray_actors
from trials.executors.ray_actors import connected
from trials.executors.ray_worker import NOT_HIDDEN, RayWorker
from trials.trial import Slot

CUDA = torch.device("cuda:0")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> "Seen":
    return Seen(monkeypatch)


class Seen:
    """Sets what a process sees: the variable, the UUID that CUDA reports, the driver."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        monkeypatch.delenv(VARIABLE, raising=False)
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)

    def __call__(
        self, variable: str | None, *, uuid: str = "", nvml: MadeUpNvml | None = None, count: int = 1
    ) -> None:
        if variable is None:
            self._patch.delenv(VARIABLE, raising=False)
        else:
            self._patch.setenv(VARIABLE, variable)
        properties = SimpleNamespace(uuid=uuid, name="NVIDIA H200")
        self._patch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
        self._patch.setattr(torch.cuda, "device_count", lambda: count)
        self._patch.setitem(sys.modules, "pynvml", nvml)


@pytest.mark.parametrize("driver", [made_up_nvml(), None], ids=["with NVML", "without"])
@pytest.mark.parametrize("name", ["1", f"GPU-{OTHER}", "GPU-20be", None])
def test_one_gpu_has_one_id_under_all_of_its_names(
    name: str | None, driver: MadeUpNvml | None, seen: Seen
) -> None:
    seen(name, uuid=OTHER, nvml=driver)
    assert gpu_id(CUDA) == OTHER
    assert device_info(Slot(index=0, device="cuda:0")).device_id == OTHER


@pytest.mark.parametrize("reported", [SLICED, SLICE])  # by older versions of CUDA and by newer ones
@pytest.mark.parametrize("name", [f"MIG-{SLICE}", f"MIG-GPU-{SLICED}/3/0", "2", None])
def test_one_slice_has_one_id_under_all_of_its_names(name: str | None, reported: str, seen: Seen) -> None:
    """By an index, or without a name, CUDA computes on the first slice of a GPU in MIG mode."""
    seen(name, uuid=reported, nvml=made_up_nvml())
    assert gpu_id(CUDA) == f"MIG-{SLICE}"


def test_slices_of_one_gpu_have_a_lock_each_and_names_of_one_gpu_share_it(seen: Seen, tmp_path: Path) -> None:
    def lock(variable: str, uuid: str) -> DeviceLock:
        seen(variable, uuid=uuid, nvml=made_up_nvml())
        return lock_of(CUDA, folder=tmp_path)

    first, again = lock(f"MIG-{SLICE}", SLICED), lock(f"MIG-GPU-{SLICED}/3/0", SLICE)
    second, gpu = lock(f"MIG-{SECOND}", SLICED), lock("0", GPU)
    assert first._files == again._files
    assert len({first._files, second._files, gpu._files}) == 3
    assert gpu._files == lock(f"GPU-{GPU}", GPU)._files


@pytest.mark.parametrize("driver", [None, made_up_nvml(refused=frozenset(["nvmlDeviceGetHandleByUUID"]))])
def test_slices_are_told_apart_by_their_names_where_the_driver_gives_no_answer(
    driver: MadeUpNvml | None, seen: Seen
) -> None:
    for name in (f"MIG-{SLICE}", f"MIG-{SECOND}"):
        seen(name, uuid=SLICED, nvml=driver)
        assert gpu_id(CUDA) == name


@pytest.mark.parametrize(
    ("variable", "count", "expected"),
    [
        (None, 2, ["cuda:0", "cuda:1"]),
        (f"GPU-{GPU},GPU-2", 2, ["cuda:0", "cuda:1"]),
        ("0,9,1", 1, ["cuda:0"]),
        (f"1,GPU-{GPU}", 1, ["cuda:0"]),
        (f"MIG-{SLICE},MIG-{SECOND}", 1, ["cuda:0"] * 2),  # CUDA shows a process one slice
        (f"MIG-{SLICE},0,MIG-{SECOND}", 1, ["cuda:0"]),
        (f"MIG-{SLICE},MIG-{SLICE}", 0, None),
        (f"GPU-{GPU},GPU-{GPU}", 0, None),
        ("", 0, None),
    ],
)
def test_there_is_a_slot_for_each_gpu_or_slice_that_the_variable_leads_to(
    variable: str | None, count: int, expected: list[str] | None, seen: Seen
) -> None:
    seen(variable, count=count)
    slots = available_slots()
    assert [slot.device for slot in slots] == (expected or ["cpu"] * len(slots))
    assert gpus_here() == len(expected or ())


@pytest.mark.parametrize(
    ("variable", "count", "words"),
    [
        ("0,9,1", 1, "CUDA_VISIBLE_DEVICES=0,9,1 leads to 1 GPU: CUDA stops at the first name"),
        ("0,0", 0, "CUDA_VISIBLE_DEVICES=0,0 leads to no GPU"),
        (f"0,1,GPU-{OTHER}", 2, "leads to 2 GPUs"),
        ("1,0", 2, None),
        (f"MIG-{SLICE},MIG-{SECOND}", 1, None),
        ("", 0, None),
        ("-1", 0, None),
        (None, 0, None),
    ],
)
def test_names_that_cuda_does_not_show_are_said(
    variable: str | None, count: int, words: str | None, seen: Seen
) -> None:
    seen(variable, count=count)
    assert (unseen_words() or "").count(words or "leads") == bool(words)


@pytest.mark.parametrize("executor", list(Executor))
def test_a_search_says_where_the_variable_leads_to_no_gpu(executor: Executor, seen: Seen) -> None:
    seen("0,0", count=0)
    place = executor_of(executor, workers=None, ray_address=None, timing_device=None, stall_seconds=1.0)[1]
    assert "; CUDA_VISIBLE_DEVICES=0,0 leads to no GPU" in place


def test_a_device_is_named_as_the_variable_names_it(seen: Seen) -> None:
    seen("3,5", count=2)
    assert [name_of(0), name_of(1)] == ["3", "5"]
    seen(None, count=2)
    assert name_of(1) == "1"


@pytest.mark.parametrize("per_device", [1, 2])
def test_ray_gives_each_worker_one_of_the_names(
    per_device: int, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself is only asked for a count: it divides the variable's names among the actors."""
    told: dict[str, int] = {}
    local = SimpleNamespace(begin=list, end=lambda: None)
    monkeypatch.setattr(ray_actors, "LocalRay", lambda **numbers: told.update(numbers) or local)
    seen(f"MIG-{SLICE},MIG-{SECOND}", count=1)
    with connected(None, None, per_device) as here:
        assert [slot.device for slot in here.slots] == ["cuda:0"] * 2 * per_device
    assert told == {"workers": 2 * per_device, "gpus": 2}


@pytest.mark.parametrize(("forbidden", "expected"), [("1", "GPU-5"), ("", "0,GPU-5")])
def test_a_worker_uses_its_own_gpu_where_ray_must_not_hide_the_others(
    forbidden: str, expected: str, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    seen("0,GPU-5", count=2)
    monkeypatch.setenv(NOT_HIDDEN, forbidden)
    context = SimpleNamespace(get_accelerator_ids=lambda: {"GPU": ["GPU-5"], "TPU": []})
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    found: list[str] = []
    RayWorker(lambda slot: found.append(os.environ[VARIABLE]), Slot(index=0, device="cuda:0"))  # type: ignore[arg-type,return-value]
    assert found == [expected]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("variable", "count", "per_device", "expected"),
    [
        (f"MIG-{SLICE},MIG-{SECOND}", 1, 1, [f"MIG-{SECOND}", f"MIG-{SLICE}"]),
        ("GPU-ab,2", 2, 2, ["2", "2", "GPU-ab", "GPU-ab"]),
        ("0,9,1", 1, 2, ["0", "0"]),
    ],
)
def test_actors_of_a_real_ray_see_one_name_each(
    variable: str, count: int, per_device: int, expected: list[str], seen: Seen
) -> None:
    import ray

    class Look:
        def name(self) -> str:
            return os.environ["CUDA_VISIBLE_DEVICES"]

    seen(variable, count=count)
    with connected(None, None, per_device) as here:
        made = ray.remote(num_gpus=1 / per_device, num_cpus=1)(Look)
        actors = [made.remote() for _ in here.slots]
        assert sorted(ray.get([actor.name.remote() for actor in actors])) == sorted(expected)
