"""Decoding many pictures into one memory-mapped array, on all cores; and what a pack says of itself."""

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

CHUNK = 512
TASK = 64  # pictures that are handed over at once
FEW = 4_000  # fewer are decoded here: starting processes would take longer
Task = list[tuple[int, str, Encoded]]  # position, name, picture


@dataclass(frozen=True)
class PackFacts:
    """What belongs to a pack's pixels: the digest of its labels, what could not be read, checksums."""

    labels: str
    corrupt: list[tuple[int, str]]  # position, and name with the reason
    crc32: list[int]  # of each CHUNK images

    def to_json(self) -> str:
        """The facts as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "PackFacts":
        """The facts of a text.

        Raises:
            ValueError, KeyError, TypeError: it holds something else.
        """
        content = json.loads(text)
        corrupt = [(int(position), str(name)) for position, name in content["corrupt"]]
        return cls(str(content["labels"]), corrupt, list(map(int, content["crc32"])))


def checksums(images: np.ndarray) -> list[int]:
    """CRC-32 of each CHUNK images."""
    return [
        zlib.crc32(np.ascontiguousarray(images[i : i + CHUNK]).data) for i in range(0, len(images), CHUNK)
    ]


def fill_pack(
    images: np.memmap, pictures: Iterator[tuple[str, Encoded]], on_progress: Callable[[int, int], None]
) -> list[tuple[int, str]]:
    """Decodes all pictures into images (N, R, R, 3); returns (position, name and reason) of the unreadable.

    Their pixels stay 0. Many pictures are decoded by a process for each core.

    Raises:
        ValueError: such a process died.
    """
    tasks = _tasks(pictures)
    if len(images) < FEW:
        results: Iterable[list[tuple[int, str]]] = (_decode_here(images, task) for task in tasks)
        return _collected(results, len(images), on_progress)
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    local = threading.local()
    processes: list[_Process] = []

    def run(task: Task) -> list[tuple[int, str]]:
        if not hasattr(local, "process"):
            local.process = _Process(str(images.filename))
            processes.append(local.process)
        return local.process.decode(task)

    try:
        with ThreadPoolExecutor(workers) as pool:
            return _collected(_ahead(pool, run, tasks, 2 * workers), len(images), on_progress)
    finally:
        for process in processes:
            process.close()


def _tasks(pictures: Iterator[tuple[str, Encoded]]) -> Iterator[Task]:
    numbered = ((position, name, encoded) for position, (name, encoded) in enumerate(pictures))
    while task := list(islice(numbered, TASK)):
        yield task


def _ahead(
    pool: ThreadPoolExecutor,
    run: Callable[[Task], list[tuple[int, str]]],
    tasks: Iterator[Task],
    depth: int,
) -> Iterator[list[tuple[int, str]]]:
    """The results in order, with that many tasks under way: no more than these are in memory."""
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
            # -P: a folder named trials where the user is must not be taken for ours.
            [sys.executable, "-P", "-m", pack_process.__name__, file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def decode(self, task: Task) -> list[tuple[int, str]]:
        """Has the pictures of a task decoded into the file."""
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
    """The picture's bytes.

    Raises:
        FileNotFoundError: it is not there any more.
        ValueError: a network or a permission failed, which is no fault of the picture's: left out now and
            read another time it would change the split.
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
