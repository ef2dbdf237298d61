"""Runs trials one after the other in this process: for debugging, tests and notebooks."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from trials.devices.device_errors import DeviceLostError
from trials.executors.timing_places import check_devices
from trials.trial import Event, Execute, Progress, Slot, StartWorker, TimingPart, Trial


def in_process(*, device: str | None = None, timing_device: str | None = None) -> Execute:
    """An executor on `device` (default: the first CUDA device if there is one, else the CPU).

    With `timing_device`, the model on which step time counts, the device must be of that model.

    Raises:
        DeviceLostError: an error of the device has left it of no use to this process.
    """

    def execute(start_worker: StartWorker, trials: Iterable[Trial | None]) -> Iterator[Event]:
        slot = Slot(index=0, device=device or ("cuda:0" if torch.cuda.is_available() else "cpu"))
        # The slot names no core: the process belongs to the caller and must not be bound to one.
        run_trial = start_worker(slot)
        check_devices([getattr(run_trial, "device_name", None)], timing_device)
        for trial in trials:
            # A None asks to wait for a trial in flight, and there is none between two trials.
            assert trial is not None, "asked to wait with nothing in flight"
            if fault := getattr(run_trial, "device_fault", None):
                raise DeviceLostError(
                    f"this process cannot use {slot.device} any more: {fault.reason}; a new process can"
                )
            for event in run_trial(trial):
                assert not isinstance(event, TimingPart), "only whole trials are run"
                yield replace(event, slot=0) if isinstance(event, Progress) else event

    return execute
