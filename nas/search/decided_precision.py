"""The precision of a run whose recipe says `auto`: decided once, and the same for all of its networks."""

from collections.abc import Iterable

import torch

from nas.search.config import SearchConfig
from search_spaces.settings.setting_errors import blaming
from trials.devices.arithmetic import check_precision, fastest_of_cuda
from trials.devices.device import available_slots
from trials.log.row_types import TrialRow
from trials.recipe import Precision
from trials.timing.precision import ChosenPrecision


def asked_precisions(config: SearchConfig) -> tuple[Precision, ...]:
    """The precisions that a search asks for, to train and to time in."""
    return config.recipe.precision, config.timing.precision_for(config.recipe)


def check_precisions_here(config: SearchConfig) -> None:
    """Checks that this machine's devices compute in what a search asks for.

    Raises:
        SettingError: one does not.
    """
    asked = {
        ("recipe", "precision"): config.recipe.precision,
        ("timing", "precision"): config.timing.precision,
    }
    for slot in available_slots():
        for place, precision in asked.items():
            with blaming(place, without="precision: "):
                check_precision(precision or "auto", torch.device(slot.device))


def decided_precision(config: SearchConfig, rows: Iterable[TrialRow]) -> ChosenPrecision | None:
    """The precision that `auto` means in a run with these rows; None where each worker's device decides.

    A run that has rows goes on in their precision, wherever it is continued. A new one takes what all GPUs of
    this machine have in hardware. Where there are none, a CPU's probe decides, whose answer all workers of a
    host share, or the GPUs of a cluster, which are of one model or named by `timing.device`.
    """
    if config.recipe.precision != "auto":
        return None
    for row in rows:
        if row["precision"] is not None and row["status"] != "cached":
            return ChosenPrecision(row["precision"], row.get("precision_reason") or "as the run was begun")
    devices = [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    if not devices:
        return None
    weakest = min(devices, key=torch.cuda.get_device_capability)
    return ChosenPrecision(*fastest_of_cuda(weakest), device_type="cuda")
