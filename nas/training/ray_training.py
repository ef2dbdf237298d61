"""Full training on several devices: a process for each through Ray Train, begun again when one is lost."""

import os
import pickle
import socket
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from shutil import rmtree
from typing import Any

from nas.events import GroupLost
from nas.training.checkpoints import SCRATCH
from nas.training.config import TrainingConfig, as_begun
from nas.training.mailbox import Mailbox
from nas.training.ray_gpus import check_gpus
from nas.training.result import TrainingResult
from nas.training.start import check_start
from nas.training.train import train_fully
from nas.training.training_events import TrainingBegun, TrainingEvent
from search_spaces.networks.own_modules import own_ops_here
from search_spaces.settings.sentences import first_line
from trials.devices.device import available_cores, keep_freed_memory
from trials.devices.device_errors import device_fault
from trials.devices.visible_gpus import VARIABLE, gpus_here, visible_slices
from trials.executors.ray_actors import Connection, connected
from trials.executors.ray_local import RayLostError
from trials.executors.ray_pool import WorkersError
from trials.training.device_group import DeviceGroup, PeerLostError
from trials.trial import Slot

FRUITLESS_STARTS = 3  # in a row, of groups that lose a process before an epoch is done
TIMEOUT_SECONDS = 1800  # for which a device waits for the others, as Ray Train's own default
LOOPBACK = "127.0.0.1"
SECONDS_BETWEEN_LOOKS = 0.2
STOP_SECONDS = 30.0  # for which a training that is interrupted is waited for
# Ray Train's own: how often it looks whether a process is dead, and that it leaves the folder alone.
SETTINGS = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}
# A process less to start, where no node can be preempted.
LOCAL_SETTINGS = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}


@dataclass(frozen=True)
class _Ended:
    result: TrainingResult | None  # None: it failed
    error: Exception | None = None
    trace: str = ""


class _StoppedError(RuntimeError):
    """The driver wants no more."""


def train_on_devices(
    config: TrainingConfig,
    folder: Path,
    *,
    devices: int,
    address: str | None = None,
    on_event: Callable[[TrainingEvent | GroupLost], object] = lambda event: None,
) -> TrainingResult:
    """Runs `train_fully` on several devices of this machine, or of the cluster at `address`.

    Each step's batch is divided among them, so that batches, their order and their augmentation are those of
    one device. When a process is lost, all begin again after the last epoch that was saved, and what comes
    is bit by bit what would have come (on CPU). Hosts of a cluster must share `folder`.

    Raises:
        ConfigError, RunLockedError, NonFiniteLossError: as `train_fully`.
        WorkersError: there are too few devices, one does not compute, or processes are lost again and again.
    """
    folder = folder.absolute()
    config = as_begun(config, folder)
    check_start(config, folder, devices=devices)
    if address is None and gpus_here() and visible_slices():
        raise WorkersError(
            f"--devices {devices}: {VARIABLE} names slices of GPUs (MIG), which cannot exchange gradients "
            "(NCCL takes them for one GPU); name whole GPUs, or leave out --devices"
        )
    with connected(address, devices, 1, option="--devices") as ray_here:
        slots = ray_here.slots
        if len(slots) < devices:
            raise WorkersError(
                f"--devices {devices}: the cluster has only {len(slots)} GPUs or cores; use --devices "
                f"{len(slots)} or fewer, or let more nodes join first"
            )
        with _settings(SETTINGS if address else SETTINGS | LOCAL_SETTINGS):
            return _until_it_ends(config, folder, replace(ray_here, slots=slots[:devices]), on_event)


def _until_it_ends(
    config: TrainingConfig,
    folder: Path,
    ray_here: Connection,
    on_event: Callable[[TrainingEvent | GroupLost], object],
) -> TrainingResult:
    fruitless, furthest = 0, -1
    on_gpus = ray_here.slots[0].device.startswith("cuda")
    # A group is started again and again until one ends by itself. Starts that get no further are counted.
    while True:
        if on_gpus:  # before the first start, and before each other: one may just have died
            check_gpus(len(ray_here.slots))
        run = _Run(config, folder, ray_here)
        began_after: int | None = None
        with closing(run.events()) as events:  # at once, also if who gets them wants no more
            for event in events:
                if isinstance(event, TrainingBegun):
                    began_after = event.first_epoch
                on_event(event)
        if run.ended is not None and run.ended.result is not None:
            return run.ended.result
        if run.ended is not None and run.ended.error is not None:
            run.ended.error.add_note(f"in the training's process:\n{run.ended.trace}")
            raise run.ended.error
        fruitless = 1 if began_after is not None and began_after > furthest else fruitless + 1
        furthest = max(furthest, began_after if began_after is not None else -1)
        if fruitless >= FRUITLESS_STARTS:
            raise WorkersError(
                f"{len(ray_here.slots)} devices: {fruitless} times in a row a process was lost before "
                f"another epoch was saved; the last time: {run.lost}. What is saved is in {folder}: the same "
                "command goes on"
            )
        on_event(GroupLost(run.lost))


class _Run:
    """One start of the group, which runs in a thread; the caller's own thread has the events."""

    def __init__(self, config: TrainingConfig, folder: Path, ray_here: Connection) -> None:
        import ray

        self.ended: _Ended | None = None
        self.lost = ""  # why it ended, if nobody said
        self._board = ray.remote(num_cpus=0)(Mailbox).remote()
        self._local = ray_here.local
        self._folder, self._scratch = folder, folder / SCRATCH
        self._thread = threading.Thread(target=self._fit, args=(config, folder, ray_here.slots), daemon=True)

    def _fit(self, config: TrainingConfig, folder: Path, slots: list[Slot]) -> None:
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            self._trainer(config, folder, slots).fit()
        except Exception as error:  # Ray's own kinds, which differ between its versions
            self.lost = _reason(error)

    def _trainer(self, config: TrainingConfig, folder: Path, slots: list[Slot]) -> Any:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

        on_gpus, on_loopback = slots[0].device.startswith("cuda"), _is_on_loopback()
        backend = backend_of(on_gpus=on_gpus, on_loopback=on_loopback)
        return DataParallelTrainer(
            _train,
            train_loop_config={
                "config": config,
                "folder": folder,
                "board": self._board,
                "on_gpus": on_gpus,
                "own_ops": own_ops_here(stage.op for stage in config.architecture.stages),
                # Of this start alone: a killed driver leaves its file, with addresses of the dead.
                "rendezvous": str(self._scratch / f"rendezvous-{uuid.uuid4().hex}") if not backend else None,
            },
            backend_config=TorchConfig(backend=backend) if backend else None,
            scaling_config=ScalingConfig(num_workers=len(slots), use_gpu=on_gpus),
            # A group that is begun again is a new run here, which sees whether the last one got further.
            run_config=RunConfig(
                storage_path=str(self._scratch),
                failure_config=FailureConfig(max_failures=0),
                worker_runtime_env={"env_vars": _environment(on_loopback=on_loopback)},
            ),
        )

    def events(self) -> Generator[TrainingEvent]:
        """Events of the first process, until the run has ended.

        Raises:
            RayLostError: the local Ray has died, for which the run's thread would wait.
        """
        import ray
        from ray.exceptions import RayError

        self._thread.start()
        try:
            while True:
                self._check_ray()
                running = self._thread.is_alive()
                for posted in ray.get(self._board.take.remote()):
                    item = pickle.loads(posted)
                    if isinstance(item, _Ended):
                        self.ended = item
                    else:
                        yield item
                if not running:
                    return
                self._thread.join(SECONDS_BETWEEN_LOOKS)
        finally:
            is_dead = self._local is not None and self._local.death() is not None
            if self._thread.is_alive() and not is_dead:  # the caller has had enough
                with suppress(RayError):
                    ray.get(self._board.stop.remote())
                self._thread.join(STOP_SECONDS)
            ray.kill(self._board)
            rmtree(self._scratch, ignore_errors=True)

    def _check_ray(self) -> None:
        try:
            if self._local is not None:
                self._local.check()
        except RayLostError as error:
            raise RayLostError(
                f"{error}. What is done is in {self._folder}: the same command goes on"
            ) from None


def backend_of(*, on_gpus: bool, on_loopback: bool) -> str | None:
    """Torch's backend that Ray Train sets up: nccl for GPUs, gloo for cores of several hosts.

    None for cores of one machine: torch's own rendezvous listens on every interface, so they meet in a file.
    """
    return "nccl" if on_gpus else None if on_loopback else "gloo"


def _train(arguments: dict[str, Any]) -> None:
    """Trains in each process of the group; the driver gets an error that is not another's death."""
    import ray

    board = arguments["board"]

    def post(item: TrainingEvent | _Ended) -> bool:
        return ray.get(board.post.remote(pickle.dumps(item)))

    try:
        if (own := arguments["own_ops"]) is not None:
            own.load()
        group = _own_group(on_gpus=arguments["on_gpus"], rendezvous=arguments["rendezvous"])

        def post_event(event: TrainingEvent) -> None:
            if group.is_first and post(event):
                raise _StoppedError

        result = train_fully(arguments["config"], arguments["folder"], on_event=post_event, group=group)
    except (PeerLostError, _StoppedError):
        raise
    except Exception as error:
        if not _has_lost_gpu(error, on_gpus=arguments["on_gpus"]):
            post(_Ended(None, error, traceback.format_exc()))
        raise
    if group.is_first:
        post(_Ended(result))


def _has_lost_gpu(error: Exception, *, on_gpus: bool) -> bool:
    """True if this process must not use its GPU any more, which another one may: the group begins again."""
    if not on_gpus:
        return False
    import torch

    fault = device_fault(error, torch.device("cuda", torch.cuda.current_device()))
    return fault is not None and not fault.of_capture  # what cannot be a graph now cannot be one later


def _own_group(*, on_gpus: bool, rendezvous: str | None) -> DeviceGroup:
    """This process's place in Ray Train's group, with its GPU, or its share of the host's cores.

    Raises:
        WorkersError: Ray has given a GPU that torch cannot use.
    """
    import ray.train.torch
    import torch.distributed

    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    if on_gpus and device.type != "cuda":
        raise WorkersError(
            f"{socket.gethostname()}: Ray has GPUs here, but torch {torch.__version__} cannot use them; "
            "install torch for CUDA on every host"
        )
    if device.type == "cpu":
        cores = available_cores()
        own = cores[context.get_local_rank() :: context.get_local_world_size()] or cores
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, set(own))
        torch.set_num_threads(len(own))
        keep_freed_memory()
    processes: Any = torch.distributed.group.WORLD
    if rendezvous is not None:
        size = context.get_world_size()
        store = torch.distributed.FileStore(rendezvous, size)  # type: ignore[attr-defined]
        timeout = timedelta(seconds=TIMEOUT_SECONDS)
        processes = torch.distributed.ProcessGroupGloo(store, context.get_world_rank(), size, timeout)
    return DeviceGroup(processes, device)


def _reason(error: Exception) -> str:
    """Reason for which a group was lost, in one line: the process that died, not those that noticed."""
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    died = {rank: each for rank, each in failures.items() if PeerLostError.__name__ not in str(each)}
    for rank, each in (died or failures).items():
        return f"the process of device {rank}: {first_line(each)}"
    return (str(error).splitlines() or [type(error).__name__])[-1]


def _is_on_loopback() -> bool:
    import ray

    return all(node["NodeManagerAddress"] == LOOPBACK for node in ray.nodes() if node["Alive"])


def _environment(*, on_loopback: bool) -> dict[str, str]:
    """Environment that processes take over: the cache of packed images, and the network interface."""
    found = {name: os.environ[name] for name in ("XDG_CACHE_HOME",) if name in os.environ}
    if on_loopback and sys.platform == "linux":
        found |= {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo"}
    return found


@contextmanager
def _settings(values: Mapping[str, str]) -> Iterator[None]:
    """Adds variables to the environment within the block; those that it had before stay."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
