"""The names in CUDA_VISIBLE_DEVICES: indices, UUIDs or their beginnings, and slices of GPUs (MIG).

CUDA takes the names up to the first that it does not know, and none at all if one stands twice. Of slices it
shows a process only the first, so that several need a process each, to which Ray gives one name.
"""

import os

import torch

VARIABLE = "CUDA_VISIBLE_DEVICES"
HIDING = ("-1", "NoDevFiles")  # names with which schedulers and users hide all GPUs, as with none


def visible_names() -> tuple[str, ...] | None:
    """All names, in order; None where the variable is not set."""
    value = os.environ.get(VARIABLE)
    if value is None:
        return None
    return tuple(name.strip() for name in value.split(",")) if value.strip() else ()


def visible_slices() -> tuple[str, ...]:
    """Names of slices, MIG-UUID or the older MIG-GPU-UUID/3/0, that processes may use; none of whole GPUs."""
    slices: list[str] = []
    for name in visible_names() or ():
        if not name.startswith("MIG-"):
            break
        slices.append(name)
    return tuple(slices) if len(set(slices)) == len(slices) else ()


def gpus_here() -> int:
    """Number of GPUs and slices of GPUs that processes of this machine may use, each of them one."""
    seen = torch.cuda.device_count()
    return max(seen, len(visible_slices())) if seen else 0


def name_of(index: int) -> str:
    """The name with which CUDA_VISIBLE_DEVICES leads a process to this one's device of an index alone."""
    names = visible_names()
    return str(index) if names is None or index >= len(names) else names[index]


def unseen_words() -> str | None:
    """A sentence where the environment names GPUs that CUDA does not show; None if it shows all."""
    names = visible_names()
    if not names or names[0] in HIDING or not torch.backends.cuda.is_built():
        return None
    if (seen := gpus_here()) == len(names):
        return None
    shown = "no GPU" if not seen else "1 GPU" if seen == 1 else f"{seen} GPUs"
    return (
        f"{VARIABLE}={os.environ[VARIABLE]} leads to {shown}: CUDA stops at the first name that it does not "
        "know, and shows none if one stands twice (nvidia-smi -L lists them)"
    )
