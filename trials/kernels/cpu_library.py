"""The C++ kernels of a CPU: compiled once for a processor, kept outside the tree, called through ctypes."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch

from trials.devices.cache_folder import cache_folder
from trials.devices.device import cpu_name
from trials.devices.environment import FUSED_KERNELS
from trials.devices.file_lock import locked

FOLDER = Path(__file__).parent.parent
SOURCES = {  # by their own flags
    "kernels/cpu_normalisation.cpp": ("-O2", "-ffp-contract=fast"),
    "kernels/cpu_depthwise.cpp": ("-O2", "-ffp-contract=fast"),
    "kernels/cpu_rmsprop.cpp": ("-O3", "-ffp-contract=fast"),
    "augmentation/cpu_images.cpp": ("-O3", "-ffp-contract=off"),
}
HEADERS = ("kernels/cpu_vectors.h",)
COMPILERS = ("g++", "c++", "clang++")
FLAGS = ("-std=c++17", "-fPIC", "-march=native", "-fno-math-errno", "-fno-trapping-math")
COMPILE_SECONDS = 120.0  # after which a compiler is given up
CHUNKS = 16  # parts of a batch; sums are the same for any number of threads


class NoKernelsError(RuntimeError):
    """There are no kernels for this machine; the message says why."""


def cpu_library() -> ctypes.CDLL:
    """The library, compiled unless it is there.

    Raises:
        NoKernelsError: they are forbidden, or there is no compiler, or it fails.
    """
    if os.environ.get(FUSED_KERNELS) == "0":
        raise NoKernelsError(f"{FUSED_KERNELS}=0")
    if isinstance(found := _loaded(), str):
        raise NoKernelsError(found)
    return found


def why_not() -> str | None:
    """The reason why this machine has no kernels for its CPU; compiles them the first time."""
    try:
        cpu_library()
    except NoKernelsError as error:
        return str(error)
    return None


def needs_compiling() -> bool:
    """True if the kernels are not there yet; to compile them takes some ten seconds."""
    if os.environ.get(FUSED_KERNELS) == "0":
        return False
    try:
        return not _is_own(_file(_compiler()))
    except (NoKernelsError, OSError):
        return False


@cache
def _loaded() -> ctypes.CDLL | str:
    """The library, or the reason why there is none; asked once in a process."""
    try:
        compiler = _compiler()
        file = _file(compiler)
        if not _is_own(file):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(file.with_suffix(".lock")):
                _make(compiler, file)
        return ctypes.CDLL(str(file))
    except NoKernelsError as error:
        return str(error)
    except OSError as error:
        return f"compiled kernels cannot be kept or loaded: {error}"


def _make(compiler: str, file: Path) -> None:
    """Compiles the library into its place, unless another process has meanwhile."""
    if _is_own(file):
        return
    with tempfile.TemporaryDirectory(dir=file.parent) as made:
        unfinished = _compiled(compiler, Path(made))
        unfinished.chmod(0o600)
        unfinished.replace(file)
    if not _is_own(file):
        raise NoKernelsError(f"{file}: who has written it is unknown")


def _compiler() -> str:
    compiler = next((name for name in COMPILERS if shutil.which(name)), None)
    if compiler is None:
        raise NoKernelsError(f"no C++ compiler ({', '.join(COMPILERS)})")
    return compiler


def _file(compiler: str) -> Path:
    """The library's place, whose name says all that it depends on."""
    texts = [(FOLDER / name).read_text() for name in (*SOURCES, *HEADERS)]
    flags = (*FLAGS, *map(str, SOURCES.values()))
    key = [*texts, *flags, compiler, _version(compiler), cpu_name(), _instructions()]
    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:24]
    return cache_folder("kernels") / f"{digest}.so"


def _compiled(compiler: str, folder: Path) -> Path:
    """The library, its sources compiled side by side."""
    objects = {name: folder / f"{Path(name).stem}.o" for name in SOURCES}
    commands = [
        [compiler, *FLAGS, *SOURCES[name], "-c", str(FOLDER / name), "-o", str(file)]
        for name, file in objects.items()
    ]
    with ThreadPoolExecutor(len(commands)) as pool:
        list(pool.map(_run, commands))
    library = folder / "kernels.so"
    _run([compiler, "-shared", *map(str, objects.values()), "-o", str(library)])
    return library


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip()
        raise NoKernelsError(f"{command[0]} does not compile the kernels: {said[:300]}") from error


def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.split("\n", 1)[0]


def _instructions() -> str:
    """The processor's instruction sets, where the kernel reports them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())


def _is_own(file: Path) -> bool:
    """True if the file is there, this user's, and nobody else may have written it."""
    try:
        status = file.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def call(function: Callable[..., object], *arguments: object, images: int, rest: tuple[object, ...]) -> None:
    """Calls a kernel on all chunks of a batch, with as many threads as torch has."""
    chunks = chunks_of(images)
    threads = min(torch.get_num_threads(), chunks)
    if threads == 1:
        function(*arguments, 0, chunks, chunks, *rest)
        return
    bounds = [i * chunks // threads for i in range(threads + 1)]
    list(_pool(threads).map(lambda r: function(*arguments, *r, chunks, *rest), pairwise(bounds)))


def chunks_of(images: int) -> int:
    """The number of parts that a batch is computed in."""
    return min(images, CHUNKS)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernels")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of its threads
