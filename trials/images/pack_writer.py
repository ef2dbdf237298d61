"""Decodes many pictures into one memory-mapped array on all cores; the facts stored beside it."""

import hashlib
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

from search_spaces.settings.json_text import json_value
from trials.images import pack_process
from trials.images.decode import UnreadablePictureError, decode, is_constant, resized
from trials.images.pack_reuse import KnownPixels
from trials.images.pixel_file import PixelFile
from trials.images.sources import Encoded
from trials.pictures import SQUASHED, PictureView

TASK = 64  # pictures handed to a process at once
MIN_FOR_PROCESSES = 4_000  # pictures; fewer are decoded in this process, as starting others takes longer
DIGEST_BYTES = 8
Task = list[tuple[int, str, Encoded]]  # position, name, picture


@dataclass
class OddPictures:
    """Pictures that a pack has no pixels of, or pixels of one colour."""

    corrupt: list[tuple[int, str]]  # position, and name with the reason
    constant: list[int]  # positions


@dataclass(frozen=True)
class PackFacts:
    """Facts stored beside a pack's pixels."""

    labels: str  # digest
    arrays: str  # digest of the digests and checksums
    corrupt: list[tuple[int, str]]  # see OddPictures
    constant: list[int]
    origin: str = ""  # source and decoders: packs of equal ones hold the same pixels of the same picture
    decoders: str = ""  # see trials.images.jpeg; earlier versions wrote none

    def to_json(self) -> str:
        """The facts as JSON text, with a checksum."""
        facts = json.dumps(asdict(self))
        return json.dumps({"facts": facts, "crc32": zlib.crc32(facts.encode())})

    @classmethod
    def from_json(cls, text: str) -> "PackFacts":
        """Reads the text of `to_json`.

        Raises:
            ValueError, KeyError, TypeError: the text holds something else.
        """
        outer = json_value(text)
        if zlib.crc32(outer["facts"].encode()) != outer["crc32"]:
            raise ValueError("damaged")
        content = json_value(outer["facts"])
        corrupt = [(int(position), str(name)) for position, name in content["corrupt"]]
        constant = list(map(int, content["constant"]))
        origin, decoders = (str(content.get(name, "")) for name in ("origin", "decoders"))
        return cls(str(content["labels"]), str(content["arrays"]), corrupt, constant, origin, decoders)


class PackArrays:
    """Arrays that are filled while a pack is written, with a row of each for every picture.

    Args:
        images: (N, R, R, 3) uint8, memory-mapped from a new file that holds zeros.
    """

    def __init__(self, images: np.memmap) -> None:
        self.file = PixelFile(images)
        black = zlib.crc32(images[:1].tobytes())
        self.digests = np.zeros(len(images), np.uint64)  # (N,) of the encoded pictures
        self.sums = np.full(len(images), black, np.uint32)  # (N,) checksums of the pixels

    def put(self, position: int, pixels: np.ndarray) -> None:
        """Writes a picture's pixels and their checksum."""
        self.sums[position] = self.file.write(position, pixels)


def digest_of(picture: bytes | np.ndarray) -> int:
    """A digest of an encoded picture, or of pixels, in 64 bits."""
    data = picture if isinstance(picture, bytes) else np.ascontiguousarray(picture).tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest(), "little")


def fill_pack(
    pack: PackArrays,
    pictures: Iterator[tuple[str, Encoded]],
    *,
    max_pixels: int,
    view: PictureView = SQUASHED,
    known: KnownPixels | None = None,
    on_progress: Callable[[int, int], None],
) -> OddPictures:
    """Decodes all pictures into a pack's arrays.

    Many pictures are decoded by one process per core. A thread per process feeds it, because reading files
    and waiting for answers release Python's lock; the processes write into the file themselves. Pixels of a
    picture that cannot be read stay 0. Those that are `known` are copied.

    Raises:
        ValueError: a decoding process died.
    """
    tasks = _tasks(pictures)
    total = pack.file.count
    if total < MIN_FOR_PROCESSES:
        results: Iterable[OddPictures] = (_decode_here(pack, task, max_pixels, view, known) for task in tasks)
        return _collected(results, total, on_progress)
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    local = threading.local()
    processes: list[_Process] = []

    def run(task: Task) -> OddPictures:
        # Each thread of the pool starts its own process with its first task.
        if not hasattr(local, "process"):
            local.process = _Process(pack, max_pixels, view, known)
            processes.append(local.process)
        return local.process.decode(task)

    try:
        with ThreadPoolExecutor(workers) as pool:
            # Two tasks per worker: one is decoded while the next is read.
            return _collected(_pipelined(pool, run, tasks, 2 * workers), total, on_progress)
    finally:
        for process in processes:
            process.close()


def _tasks(pictures: Iterator[tuple[str, Encoded]]) -> Iterator[Task]:
    numbered = ((position, name, encoded) for position, (name, encoded) in enumerate(pictures))
    while task := list(islice(numbered, TASK)):
        yield task


def _pipelined(
    pool: ThreadPoolExecutor, run: Callable[[Task], OddPictures], tasks: Iterator[Task], depth: int
) -> Iterator[OddPictures]:
    """The results in order, with `depth` tasks under way, so that only their pictures are in memory."""
    running: deque[Future[OddPictures]] = deque()
    for task in tasks:
        running.append(pool.submit(run, task))
        if len(running) >= depth:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _collected(
    results: Iterable[OddPictures], total: int, on_progress: Callable[[int, int], None]
) -> OddPictures:
    odd = OddPictures([], [])
    for i, result in enumerate(results, start=1):
        odd.corrupt += result.corrupt
        odd.constant += result.constant
        on_progress(min(i * TASK, total), total)
    return odd


def _decode_here(
    pack: PackArrays, task: Task, max_pixels: int, view: PictureView, known: KnownPixels | None
) -> OddPictures:
    """Decodes the pictures of a task in this process."""
    odd, resolution = OddPictures([], []), pack.file.resolution
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata
        for position, name, encoded in task:
            try:
                if isinstance(encoded, np.ndarray):
                    pack.digests[position] = digest_of(encoded)
                    pixels = resized(Image.fromarray(encoded), resolution, view)
                else:
                    data = _bytes(name, encoded)
                    digest = pack.digests[position] = digest_of(data)
                    before = known.of(digest) if known else None
                    if before is None:
                        before = decode(data, resolution, max_pixels=max_pixels, view=view)
                    pixels = before
            except (UnreadablePictureError, FileNotFoundError) as error:
                odd.corrupt.append((position, f"{name} ({_reason(error)})"))
                continue
            pack.put(position, pixels)
            if is_constant(pixels):
                odd.constant.append(position)
    return odd


class _Process:
    """A process that decodes (trials.images.pack_process), used by one thread."""

    def __init__(
        self,
        pack: PackArrays,
        max_pixels: int,
        view: PictureView = SQUASHED,
        known: KnownPixels | None = None,
    ) -> None:
        self._pack, self._known = pack, known
        self._process = subprocess.Popen(
            # -P: a folder named trials in the current directory must not be imported.
            [
                *(sys.executable, "-P", "-m", pack_process.__name__, pack.file.path, str(max_pixels)),
                *(view.crop, view.interpolation),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # It multiplies no matrices, and the threads for that would be started with numpy.
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "OPENBLAS_NUM_THREADS": "1",
            },
        )

    def decode(self, task: Task) -> OddPictures:
        """Sends a task's pictures, but for those that are known, to the process and waits for its answer."""
        names = {position: name for position, name, _ in task}
        corrupt, pictures, constant_known = [], [], []
        for position, name, encoded in task:
            assert not isinstance(encoded, np.ndarray), "pixels are few, and resized here"
            try:
                data = _bytes(name, encoded)
            except FileNotFoundError as error:
                corrupt.append((position, f"{name} ({_reason(error)})"))
                continue
            digest = self._pack.digests[position] = digest_of(data)
            if self._known is not None and (pixels := self._known.of(digest)) is not None:
                self._pack.put(position, pixels)
                constant_known += [position] if is_constant(pixels) else []
                continue
            pictures.append((position, data))
        unreadable, constant = self._answer(pictures) if pictures else ([], [])
        corrupt += [(position, f"{names[position]} ({reason})") for position, reason in unreadable]
        return OddPictures(sorted(corrupt), sorted(constant + constant_known))

    def _answer(self, pictures: list[tuple[int, bytes]]) -> tuple[list[tuple[int, str]], list[int]]:
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
        unreadable, constant, sums = json_value(line)
        for position, checksum in sums:
            self._pack.sums[position] = checksum
        return [(int(position), str(reason)) for position, reason in unreadable], list(map(int, constant))

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
