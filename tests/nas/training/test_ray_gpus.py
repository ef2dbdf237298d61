"""nas train --devices on GPUs: a dead one is named before the group meets, and lost ones are told apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from full_trainings import CONFIG

from nas.training import ray_training
from nas.training.ray_gpus import check_gpus
from nas.training.ray_training import backend_of, train_on_devices
from trials.devices.device_errors import CaptureFailedError
from trials.executors.ray_actors import Connection
from trials.executors.ray_pool import WorkersError
from trials.training.device_group import DeviceGroup, PeerLostError
from trials.trial import Slot

ECC = "CUDA error: uncorrectable ECC error encountered\nCompile with TORCH_USE_CUDA_DSA"


class Cluster:
    """Ray with eight GPUs, as much of it as is used; `product` says what a GPU gives, None: nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **product: Any) -> None:
        import ray

        self.products = {f"gpu{i}": product.get(f"gpu{i}", "") for i in range(8)}
        self.free = list(self.products)
        self.asked: dict[str, Any] = {}
        self.killed: list[str] = []
        monkeypatch.setattr(ray, "remote", self.remote)
        monkeypatch.setattr(ray, "wait", self.wait)
        monkeypatch.setattr(ray, "get", self.get)
        monkeypatch.setattr(ray, "kill", lambda actor: self.killed.append(actor.name))

    def remote(self, **asked: Any) -> Any:
        self.asked = asked
        return lambda made: SimpleNamespace(remote=self._actor)

    def _actor(self) -> SimpleNamespace:
        name = self.free.pop(0) if self.free else "waits"
        methods = {
            each: SimpleNamespace(remote=lambda each=each: (name, each)) for each in ("place", "compute")
        }
        return SimpleNamespace(name=name, **methods)

    def _answer(self, reference: tuple[str, str]) -> Any:
        name, method = reference
        if name == "waits":
            return None
        return f"GPU {name} of node" if method == "place" else self.products[name]

    def wait(self, references: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        done = [each for each in references if self._answer(each) is not None]
        return done, [each for each in references if each not in done]

    def get(self, reference: tuple[str, str]) -> Any:
        answer = self._answer(reference)
        if isinstance(answer, Exception):
            raise answer
        return answer


def dead_gpu() -> Exception:
    from ray.exceptions import RayTaskError

    return RayTaskError("compute", "traceback", RuntimeError(ECC))


def test_a_dead_gpu_among_eight_is_named_before_the_training_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, gpu3=dead_gpu())
    with pytest.raises(WorkersError) as raised:
        check_gpus(8)
    assert str(raised.value).startswith(
        "--devices 8: 1 GPU cannot be used: GPU gpu3 of node (CUDA error: uncorrectable ECC error "
        "encountered); use --devices 7 without them (CUDA_VISIBLE_DEVICES"
    )
    assert cluster.asked["num_gpus"] == 1  # each sees its own alone
    assert cluster.killed == [f"gpu{i}" for i in range(8)]


def test_gpus_that_hang_or_kill_their_process_are_named_and_what_has_no_process_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray.exceptions import RayActorError

    Cluster(monkeypatch, gpu0=None, gpu7=RayActorError())
    with pytest.raises(
        WorkersError, match=r"2 GPUs .*gpu0 of node \(no answer within 5 s\); GPU gpu7 of node \("
    ):
        check_gpus(9, seconds=5.0)
    Cluster(monkeypatch)
    check_gpus(9)  # the ninth waits for a node


def test_where_no_gpu_is_left_nobody_is_told_to_use_none(monkeypatch: pytest.MonkeyPatch) -> None:
    Cluster(monkeypatch, gpu0=dead_gpu())
    with pytest.raises(WorkersError, match=r"encountered\); see what the kernel's log \(dmesg\) says"):
        check_gpus(1)


@pytest.mark.parametrize(("device", "checks"), [("cuda:0", [2]), ("cpu", [])])
def test_gpus_are_tried_before_a_group_starts_and_cores_are_not(
    device: str, checks: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []

    class StartedError(Exception):
        pass

    def started(*_: object) -> None:
        raise StartedError

    @contextmanager
    def here(*_: object, **__: object) -> Iterator[Connection]:
        yield Connection([Slot(index=i, device=device) for i in range(2)])

    monkeypatch.setattr(ray_training, "check_start", lambda *_, **__: None)
    monkeypatch.setattr(ray_training, "connected", here)
    monkeypatch.setattr(ray_training, "check_gpus", checked.append)
    monkeypatch.setattr(ray_training, "_Run", started)
    with pytest.raises(StartedError):
        train_on_devices(CONFIG, tmp_path, devices=2)
    assert checked == checks


def test_slices_of_gpus_are_refused_as_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-a,MIG-b")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(ray_training, "check_start", lambda *_, **__: None)
    with pytest.raises(WorkersError, match=r"--devices 2: .* names slices of GPUs \(MIG\), which cannot"):
        train_on_devices(CONFIG, tmp_path, devices=2)


@pytest.mark.parametrize(
    ("on_gpus", "on_loopback", "expected"),
    [(True, True, "nccl"), (True, False, "nccl"), (False, False, "gloo"), (False, True, None)],
)
def test_gpus_meet_by_nccl_cores_of_hosts_by_gloo_and_those_of_one_machine_in_a_file(
    on_gpus: bool, on_loopback: bool, expected: str | None
) -> None:
    assert backend_of(on_gpus=on_gpus, on_loopback=on_loopback) == expected


@pytest.mark.parametrize(
    ("error", "on_gpus", "lost"),
    [
        (torch.AcceleratorError(ECC), True, True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True, True),
        (CaptureFailedError("no CUDA graph of its work"), True, False),
        (torch.OutOfMemoryError("CUDA out of memory"), True, False),
        (ValueError("a wrong recipe"), True, False),
        (RuntimeError(ECC), False, False),
    ],
)
def test_a_group_begins_again_without_a_process_that_lost_its_gpu(
    error: Exception, on_gpus: bool, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work for another process is told instead."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    assert ray_training._has_lost_gpu(error, on_gpus=on_gpus) == lost


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("NCCL communicator was aborted"), PeerLostError),
        (torch.AcceleratorError(ECC), torch.AcceleratorError),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
    ],
)
def test_a_sum_blames_another_device_only_for_what_is_not_this_ones(
    error: RuntimeError, expected: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise error

    processes = SimpleNamespace(rank=lambda: 0, size=lambda: 8, allreduce=fail)
    with pytest.raises(expected):
        DeviceGroup(processes).sum(torch.zeros(1))
