"""Leaves out devices that fail again and again: a broken one fails fastest, and would get most trials."""

from collections import Counter

from trials.trial import WorkerInfo

FAULTS = 3  # of a device in a row, after which it gets no more trials

Device = tuple[str, str | None]  # host and id


class FailingDevices:
    """Counts each device's faults since the last trial that it brought to an end."""

    def __init__(self) -> None:
        self._faults: Counter[Device] = Counter()

    def worked(self, info: WorkerInfo | None) -> None:
        """A trial has ended on a worker's device without a fault of it."""
        if info is not None:
            self._faults.pop(_device(info), None)

    def failed(self, info: WorkerInfo | None) -> None:
        """The device of a worker has failed."""
        if info is not None:
            self._faults[_device(info)] += 1

    def refusal(self, info: WorkerInfo) -> str | None:
        """The reason why a worker must not use its device; None if it may."""
        faults = self._faults[_device(info)]
        if faults < FAULTS:
            return None
        return (
            f"its device, {info.device_name} {info.device_id}, has failed {faults} times in a row; the "
            "kernel's log there (dmesg) and `nvidia-smi -q` may say why"
        )


def _device(info: WorkerInfo) -> Device:
    return info.host, info.device_id
