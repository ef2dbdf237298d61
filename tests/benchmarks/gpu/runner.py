"""Proves the CUDA path on a machine with a GPU, and measures it: one command, no network.

    python tests/benchmarks/gpu [--minutes 20] [--out FOLDER] [--only NAME ...] [--again] [--rehearse]

Each measurement runs in a process of its own, with its share of the time that is left: one that hangs or
crashes is written down with its last lines, and the others go on. Results are written as they come, to
OUT/NAME.json and OUT/page.md. A measurement that was finished with the same code, torch and device is not
run again, so the same command goes on where it was stopped. `--rehearse` runs all of it on the CPU at tiny
sizes; its figures mean nothing.
"""

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.gpu.conditions import Conditions, NotHereError
from benchmarks.gpu.facts import ROOT, cuda_devices, machine_facts
from benchmarks.gpu.figures import FINAL, Result, Row, read_result, write_result
from benchmarks.gpu.page import PAGE, write_page
from benchmarks.gpu.steps import CLOSING_SECONDS, LEAST_SECONDS, STEPS, Step, allotted

SAID = 15  # last lines that are kept of a measurement that failed
TO_END_SECONDS = 5.0  # that processes have after they were asked to end
FACTS_SECONDS = 120.0
NO_GPU = (
    "no CUDA device here: run `make gpu` on a machine that has one (nvidia-smi lists it; a container needs "
    "--gpus all); on a CPU `python tests/benchmarks/gpu --rehearse` tries the measurements out"
)


def main(words: Sequence[str] | None = None, *, steps: tuple[Step, ...] = STEPS) -> int:
    """Runs the measurements that are asked for; 0 also where there is no GPU."""
    arguments = _parser(steps).parse_args(words)
    if arguments.facts:
        print(json.dumps(machine_facts(rehearse=arguments.rehearse)))
        return 0
    if arguments.step:
        return measure_here(arguments)
    if not arguments.rehearse and not cuda_devices():
        print(NO_GPU)
        return 0
    chosen = tuple(step for step in steps if not arguments.only or step.name in arguments.only)
    try:
        return _Run(arguments, steps, chosen).run()
    except KeyboardInterrupt:
        _say("stopped; the same command goes on")
        return 130


def _parser(steps: Sequence[Step]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks/gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [step.name for step in steps]
    parser.add_argument("--minutes", type=float, default=20.0, help="for all of them together")
    parser.add_argument("--out", type=Path, help="default: build/gpu, of a rehearsal build/gpu_rehearsal")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, at tiny sizes")
    # What the processes of the measurements are started with.
    parser.add_argument("--facts", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--code", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    return parser


# ---------------------------------------------------------------------- all measurements


class _Run:
    """One run of the measurements, in their order."""

    def __init__(
        self, arguments: argparse.Namespace, steps: tuple[Step, ...], chosen: tuple[Step, ...]
    ) -> None:
        out = arguments.out or Path("build/gpu_rehearsal" if arguments.rehearse else "build/gpu")
        self.out: Path = out.resolve()
        self.rehearse, self.again = bool(arguments.rehearse), bool(arguments.again)
        self.steps, self.chosen = steps, chosen
        self.deadline = time.monotonic() + 60 * arguments.minutes
        self.minutes: float = arguments.minutes

    def run(self) -> int:
        """1 if a measurement failed or was stopped."""
        self._announce()
        self.out.mkdir(parents=True, exist_ok=True)
        facts = self._facts()
        if not facts["device"]:
            _say(f"the driver has a GPU, but torch {facts['torch']} sees none: install a torch with CUDA")
            return 0
        _say(f"{facts['device']}, torch {facts['torch']}, driver {facts['driver'] or '-'}, {facts['commit']}")
        bad = 0
        for step in self.chosen:
            found = self._known(step, facts) or self._measured(step, facts)
            bad += found.state not in FINAL
            self._write_page(facts)
        self._write_page(facts)
        _say(f"{self.out / PAGE}")
        return min(bad, 1)

    def _announce(self) -> None:
        """Prints the plan and how long each part may take, before anything slow."""
        what = "rehearses on the CPU, at tiny sizes" if self.rehearse else "measures the first GPU"
        _say(f"{what}: {len(self.chosen)} parts, {self.minutes:g} minutes at most, results in {self.out}")
        for step in self.chosen:
            share = step.share / sum(each.share for each in self.chosen)
            width = max(len(each.title) for each in self.chosen)
            _say(f"  {step.name:<7} {step.title:<{width}}  {share * self.minutes:4.1f} min")
        _say("each may also take what those before it have left over")

    def _facts(self) -> dict[str, Any]:
        command = [*_command(), "--facts", *(["--rehearse"] if self.rehearse else [])]
        try:
            done = subprocess.run(
                command, env=_environment(self.out, rehearse=self.rehearse), capture_output=True, text=True,
                timeout=FACTS_SECONDS, check=True,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            sys.exit(f"torch does not load here (`make search` installs it):\n{error.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def _known(self, step: Step, facts: dict[str, Any]) -> Result | None:
        """An earlier result that still holds."""
        known = read_result(self.out, step.name)
        wanted = Result(step.name, step.title, facts, self.rehearse)
        if known is None or self.again or known.state not in FINAL or known.holds_for != wanted.holds_for:
            return None
        _say(f"{step.name}: is there already ({known.state})")
        return known

    def _measured(self, step: Step, facts: dict[str, Any]) -> Result:
        """Runs a measurement in a process of its own, and writes down how it ended."""
        limit = allotted(step, self.chosen, max(self.deadline - time.monotonic(), 0.0))
        begun = Result(step.name, step.title, facts, self.rehearse)
        if limit < LEAST_SECONDS:
            begun.state, begun.said = "stopped", f"no time was left; --only {step.name} runs it"
            write_result(begun, self.out)
            return begun
        _say(f"{step.name}: {step.title}, {limit:.0f} s at most")
        write_result(begun, self.out)
        started = time.monotonic()
        log = self.out / f"{step.name}.log"
        code = self._process(step, limit, log)
        result = read_result(self.out, step.name) or begun
        result.seconds = time.monotonic() - started
        if code is None:
            result.state, result.said = "stopped", _ending(log, f"was ended after {result.seconds:.0f} s")
        elif code or result.state == "running":
            result.state, result.said = "failed", _ending(log, f"exit code {code}")
        write_result(result, self.out)
        _say(f"{step.name}: {result.state} after {result.seconds:.0f} s, {len(result.rows)} rows")
        return result

    def _process(self, step: Step, limit: float, log: Path) -> int | None:
        """The exit code of the measurement's process; None if it had to be ended."""
        command = [
            *_command(), "--step", step.name, "--code", step.code, "--seconds", str(limit),
            "--out", str(self.out), *(["--rehearse"] if self.rehearse else []),
        ]  # fmt: skip
        with log.open("w") as said:
            process = subprocess.Popen(
                command, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=_environment(self.out, rehearse=self.rehearse), start_new_session=True,
            )  # fmt: skip
            try:
                return process.wait(limit + CLOSING_SECONDS)
            except subprocess.TimeoutExpired:
                return None
            finally:
                end_group(process)

    def _write_page(self, facts: dict[str, Any]) -> None:
        """The page of all results that hold for this code, torch and device."""
        found = (read_result(self.out, step.name) for step in self.steps)
        wanted = Result("", "", facts, self.rehearse).holds_for
        write_page(
            [result for result in found if result and result.holds_for == wanted], self.steps, self.out
        )


def _command() -> list[str]:
    return [sys.executable, str(Path(__file__).parent)]


def _environment(out: Path, *, rehearse: bool) -> dict[str, str]:
    """Environment of the measurements' processes and of all that these start."""
    environment = dict(os.environ)
    paths = [str(ROOT), str(ROOT / "tests"), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    environment["XDG_CACHE_HOME"] = str(out / "cache")  # packed images go with the results
    environment["PYTHONUNBUFFERED"] = "1"
    if rehearse:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment


def end_group(process: subprocess.Popen[Any]) -> None:
    """Ends a process that leads a session and all of that session; those that do not listen by force."""
    for number, seconds in ((signal.SIGTERM, TO_END_SECONDS), (signal.SIGKILL, TO_END_SECONDS)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            if not _is_there(process.pid):
                return


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _ending(log: Path, how: str) -> str:
    """How a measurement ended, and the last lines that it said."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([how, *lines[-SAID:]])


def _say(text: str) -> None:
    print(text, flush=True)


# ---------------------------------------------------------------------- one measurement, in its process


def measure_here(arguments: argparse.Namespace) -> int:
    """Measures one step in this process, and writes its rows as they come."""
    out: Path = arguments.out
    result = read_result(out, arguments.step)
    if result is None:
        sys.exit(f"{out}: the runner writes down what it begins")
    conditions = Conditions(out, time.monotonic() + arguments.seconds, rehearse=arguments.rehearse)
    try:
        for row in function_of(arguments.code)(conditions):
            result.rows.append(row)
            write_result(result, out)
        result.state = "done"
    except NotHereError as reason:
        result.state, result.said = "not here", str(reason)
    write_result(result, out)
    return 0


def function_of(code: str) -> Callable[[Conditions], Iterator[Row]]:
    """The function of `module:function`."""
    module, _, name = code.partition(":")
    return getattr(importlib.import_module(module), name)
