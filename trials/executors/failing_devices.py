"""Leaves out devices that fail again and again: a broken one fails fastest, and would get most trials."""

from collections import defaultdict

from trials.trial import WorkerInfo

FAULTS = 3  # trials in a row that a device has failed, after which it gets no more

Device = tuple[str, str | None]  # host and id


class FailingDevices:
    """Counts the trials that each device has failed since the last one that it brought to an end.

    Several attempts at a trial count once: it may be the trial, of which a kernel cannot cope.
    """

    def __init__(self) -> None:
        self._failed: defaultdict[Device, set[int]] = defaultdict(set)  # trials

    def worked(self, info: WorkerInfo | None) -> None:
        """A trial has ended on a worker's device without a fault of it."""
        if info is not None:
            self._failed.pop(_device(info), None)

    def failed(self, info: WorkerInfo | None, trial_id: int) -> None:
        """The device of a worker has failed while it ran a trial."""
        if info is not None:
            self._failed[_device(info)].add(trial_id)

    def refusal(self, info: WorkerInfo) -> str | None:
        """The reason why a worker must not use its device; None if it may."""
        failed = len(self._failed[_device(info)])
        if failed < FAULTS:
            return None
        return (
            f"its device, {info.device_name} {info.device_id}, has failed {failed} trials in a row; the "
            "kernel's log there (dmesg) and `nvidia-smi -q` may say why"
        )


def _device(info: WorkerInfo) -> Device:
    return info.host, info.device_id
