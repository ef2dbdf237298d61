"""Decodes many pictures into one memory-mapped array on all cores; the facts stored beside it."""

import json
import os
import subprocess
import sys
import threading
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np
from PIL import Image

from trials.images import pack_process
from trials.images.decode import UnreadablePictureError, decode, resized
from trials.images.sources import Encoded

CHUNK = 512  # images of one checksum
TASK = 64  # pictures handed to a process at once
MIN_FOR_PROCESSES = 4_000  # pictures; fewer are decoded in this process, as starting others takes longer
Task = list[tuple[int, str, Encoded]]  # position, name, picture


@dataclass(frozen=True)
class PackFacts:
    """Facts stored beside a pack's pixels."""

    labels: str  # digest
    corrupt: list[tuple[int, str]]  # position, and name with the reason
    crc32: list[int]  # of each CHUNK images

    def to_json(self) -> str:
        """The facts as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "PackFacts":
        """Reads the text of `to_json`.

        Raises:
            ValueError, KeyError, TypeError: the text holds something else.
        """
        content = json.loads(text)
        corrupt = [(int(position), str(name)) for position, name in content["corrupt"]]
        return cls(str(content["labels"]), corrupt, list(map(int, content["crc32"])))


def checksums(images: np.ndarray) -> list[int]:
    """The CRC-32 checksum of every CHUNK images."""
    return [
        zlib.crc32(np.ascontiguousarray(images[i : i + CHUNK]).data) for i in range(0, len(images), CHUNK)
    ]


def fill_pack(
    images: np.memmap, pictures: Iterator[tuple[str, Encoded]], on_progress: Callable[[int, int], None]
) -> list[tuple[int, str]]:
    """Decodes all pictures into `images` (N, R, R, 3) uint8.

    Many pictures are decoded by one process per core. A thread per process feeds it, because reading files
    and waiting for answers release Python's lock; the processes write into the memory map themselves.

    Returns:
        (position, name with the reason) of every unreadable picture; its pixels stay 0.

    Raises:
        ValueError: a decoding process died.
    """
    tasks = _tasks(pictures)
    if len(images) < MIN_FOR_PROCESSES:
        results: Iterable[list[tuple[int, str]]] = (_decode_here(images, task) for task in tasks)
        return _collected(results, len(images), on_progress)
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    local = threading.local()
    processes: list[_Process] = []

    def run(task: Task) -> list[tuple[int, str]]:
        # Each thread of the pool starts its own process with its first task.
        if not hasattr(local, "process"):
            local.process = _Process(str(images.filename))
            processes.append(local.process)
        return local.process.decode(task)

    try:
        with ThreadPoolExecutor(workers) as pool:
            # Two tasks per worker: one is decoded while the next is read.
            return _collected(_pipelined(pool, run, tasks, 2 * workers), len(images), on_progress)
    finally:
        for process in processes:
            process.close()


def _tasks(pictures: Iterator[tuple[str, Encoded]]) -> Iterator[Task]:
    numbered = ((position, name, encoded) for position, (name, encoded) in enumerate(pictures))
    while task := list(islice(numbered, TASK)):
        yield task


def _pipelined(
    pool: ThreadPoolExecutor,
    run: Callable[[Task], list[tuple[int, str]]],
    tasks: Iterator[Task],
    depth: int,
) -> Iterator[list[tuple[int, str]]]:
    """The results in order, with `depth` tasks under way, so that only their pictures are in memory."""
    running: deque[Future[list[tuple[int, str]]]] = deque()
    for task in tasks:
        running.append(pool.submit(run, task))
        if len(running) >= depth:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _collected(
    results: Iterable[list[tuple[int, str]]], total: int, on_progress: Callable[[int, int], None]
) -> list[tuple[int, str]]:
    corrupt: list[tuple[int, str]] = []
    for i, result in enumerate(results, start=1):
        corrupt += result
        on_progress(min(i * TASK, total), total)
    return corrupt


def _decode_here(images: np.ndarray, task: Task) -> list[tuple[int, str]]:
    """Decodes the pictures of a task in this process."""
    corrupt = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata
        for position, name, encoded in task:
            try:
                if isinstance(encoded, np.ndarray):
                    images[position] = resized(Image.fromarray(encoded), images.shape[1])
                else:
                    images[position] = decode(_bytes(name, encoded), images.shape[1])
            except (UnreadablePictureError, FileNotFoundError) as error:
                corrupt.append((position, f"{name} ({_reason(error)})"))
    return corrupt


class _Process:
    """A process that decodes (trials.images.pack_process), used by one thread."""

    def __init__(self, file: str) -> None:
        self._process = subprocess.Popen(
            # -P: a folder named trials in the current directory must not be imported.
            [sys.executable, "-P", "-m", pack_process.__name__, file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def decode(self, task: Task) -> list[tuple[int, str]]:
        """Sends a task's pictures to the process and waits for its answer; returns the unreadable ones."""
        names = {position: name for position, name, _ in task}
        corrupt, pictures = [], []
        for position, name, encoded in task:
            assert not isinstance(encoded, np.ndarray), "pixels are few, and resized here"
            try:
                pictures.append((position, _bytes(name, encoded)))
            except FileNotFoundError as error:
                corrupt.append((position, f"{name} ({_reason(error)})"))
        for position, reason in self._answer(pictures):
            corrupt.append((position, f"{names[position]} ({reason})"))
        return sorted(corrupt)

    def _answer(self, pictures: list[tuple[int, bytes]]) -> list[tuple[int, str]]:
        """One message to the process and its answer; an empty answer means that it died."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None, "a pipe was asked for"
        assert stdout is not None, "a pipe was asked for"
        line = b""
        with suppress(BrokenPipeError):
            pack_process.send(stdin, pictures)
            line = stdout.readline()
        if not line:
            raise ValueError(
                f"a process that decodes pictures ended with code {self._process.wait()}; if memory ran out, "
                "free some and start again"
            )
        return [(int(position), str(reason)) for position, reason in json.loads(line)]

    def close(self) -> None:
        """Ends the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()


def _bytes(name: str, encoded: bytes | Callable[[], bytes]) -> bytes:
    """The picture's bytes, read now if they were not yet.

    Raises:
        FileNotFoundError: the file is gone.
        ValueError: a network or a permission failed. The picture is not counted as unreadable then: left out
            now and read in another run, it would change the split.
    """
    if not callable(encoded):
        return encoded
    try:
        return encoded()
    except FileNotFoundError:
        raise
    except Exception as error:  # file systems raise what their services do
        raise ValueError(f"{name}: cannot be read now ({str(error)[:200]}); start again later") from error


def _reason(error: Exception) -> str:
    return "the file is gone" if isinstance(error, FileNotFoundError) else str(error)
