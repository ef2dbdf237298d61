"""The measurements of a GPU: their runner, with made-up ones; and the real ones, rehearsed on the CPU."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.gpu import (
    facts,
    full_training,
    gpu_tests,
    graph_parity,
    memory_between_trials,
    own_kernels,
    runner,
    training_steps,
    trials_per_hour,
)
from benchmarks.gpu.conditions import Conditions
from benchmarks.gpu.figures import Result, Row, Several, read_result, several, shown, write_result
from benchmarks.gpu.page import page
from benchmarks.gpu.plain_gpu_trials import good_step, scaler_of
from benchmarks.gpu.steps import STEPS, allotted
from benchmarks.gpu.trials_per_hour import Cost, Script
from gpu_steps import MADE_UP
from made_up_gpu.building import KEPT, NoCompilerError, build
from places import REPOSITORY

from search_spaces.settings.yaml_files import read_yaml
from trials.devices.arithmetic import HALF
from trials.recipe import Recipe

FACTS = {"commit": "abc", "torch": "2.13", "device": "made-up GPU", "driver": "580"}


@pytest.fixture
def measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs made-up measurements on a made-up GPU; by their names, or with other words."""
    monkeypatch.setattr(runner, "cuda_devices", lambda: 1)
    monkeypatch.setattr(runner, "CLOSING_SECONDS", 0.0)
    monkeypatch.setattr(runner, "LEAST_SECONDS", 0.0)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "tests" / "fixtures"))
    known = dict(FACTS)
    monkeypatch.setattr(runner._Run, "_facts", lambda self: known)

    def run(*words: str, seconds: float = 60, **changed: str) -> int:
        known.update(changed)
        return runner.main(["--minutes", str(seconds / 60), "--out", str(tmp_path), *words], steps=MADE_UP)

    return run


# ---------------------------------------------------------------------- the runner


def test_without_a_gpu_one_line_says_so_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "cuda_devices", lambda: 0)
    out = tmp_path / "out"
    assert runner.main(["--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert (printed.count("\n"), "make gpu" in printed, out.exists()) == (1, True, False)


@pytest.mark.skipif(facts.cuda_devices() > 0 or not shutil.which("make"), reason="a GPU, or no make")
def test_make_gpu_says_in_one_line_that_there_is_no_gpu() -> None:
    words = ["make", "--no-print-directory", "gpu"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of make test
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, env=own)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    assert done.stdout.startswith("no CUDA device here: run `make gpu` on a machine that has one")


def test_what_crashes_fails_or_is_not_there_is_written_down_and_the_rest_goes_on(
    measures: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measures("--only", "crashing", "failing", "absent", "good") == 1
    states = {step.name: read_result(tmp_path, step.name) for step in MADE_UP[1:]}
    assert {name: found and found.state for name, found in states.items()} == {
        "crashing": "failed", "failing": "failed", "absent": "not here", "good": "done",
    }  # fmt: skip
    crashed = json.loads((tmp_path / "crashing.json").read_text())
    assert crashed["said"].splitlines() == ["exit code 3", "Xid 31, of the driver"]
    assert [row["label"] for row in crashed["rows"]] == ["before"]
    assert crashed["facts"] == FACTS
    text = (tmp_path / "page.md").read_text()
    for words in ("illegal memory access", "two are needed", "| first | 2 (1 to 4, n = 3) | 1,234 |",
                  "- a step takes 2 ms", "| the hanging one | not begun |"):  # fmt: skip
        assert words in text
    assert capsys.readouterr().out.startswith("measures the first GPU: 4 parts")


class OverAtOnce(subprocess.Popen[str]):
    """A process whose limit is over as soon as it hangs, however slow the machine is."""

    def wait(self, timeout: float | None = None) -> int:
        log = Path(self.args[self.args.index("--out") + 1]) / "hanging.log"  # type: ignore[union-attr,index]
        if timeout is None or timeout <= runner.TO_END_SECONDS:
            return super().wait(timeout)
        while "waits for the device" not in log.read_text() and self.poll() is None:
            time.sleep(0.01)
        raise subprocess.TimeoutExpired(self.args, timeout)


def test_what_hangs_is_ended_at_its_limit_and_keeps_its_rows(
    measures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner.subprocess, "Popen", OverAtOnce)
    assert measures("--only", "hanging", seconds=600) == 1
    found = read_result(tmp_path, "hanging")
    assert found is not None
    assert (found.state, [row.label for row in found.rows]) == ("stopped", ["before"])
    assert found.said.splitlines()[-1] == "waits for the device"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_only_what_is_not_done_with_this_code_torch_and_device_is_run(measures: Any, tmp_path: Path) -> None:
    def ran() -> int:
        return len((tmp_path / "ran").read_text().splitlines())

    for _ in range(2):
        measures("--only", "good")
        assert ran() == 1
    measures("--only", "good", "--again")
    assert ran() == 2
    measures("--only", "good", commit="def")
    assert ran() == 3


def test_what_no_time_is_left_for_is_not_begun(
    measures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LEAST_SECONDS", 1e9)
    assert measures("--only", "good") == 1
    assert "no time was left" in (tmp_path / "page.md").read_text()
    assert not (tmp_path / "ran").exists()


def test_shares_of_the_time_add_up_and_what_is_left_over_goes_to_the_rest() -> None:
    left, given = 1200.0, []
    for step in STEPS:
        given.append(allotted(step, STEPS, left))
        left -= given[-1]
    assert left == pytest.approx(0)
    assert given[0] == pytest.approx(1200 * STEPS[0].share / sum(step.share for step in STEPS))
    assert allotted(STEPS[-1], STEPS, 300.0) == 300.0
    assert all(callable(runner.function_of(step.code)) for step in STEPS)


# ---------------------------------------------------------------------- figures and facts


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [Row("a", {"x": several([3.0, 1.0]), "y": "graph", "z": None}, "short")]
    result = Result("steps", "training steps", FACTS, False, "done", rows=rows)
    write_result(result, tmp_path)
    assert read_result(tmp_path, "steps") == result
    (tmp_path / "steps.json").write_text("{")
    assert read_result(tmp_path, "steps") is None


def test_figures_are_shown_with_their_range_and_number() -> None:
    figures = (0.01234, 12345.6, 7, Several(2.0, 1.0, 3.0, 5), Several(2.0, 2.0, 2.0, 1), None, "a|b")
    assert [shown(figure) for figure in figures] == [
        "0.0123", "12,346", "7", "2 (1 to 3, n = 5)", "2 (n = 1)", "-", "a\\|b",
    ]  # fmt: skip


def test_page_of_a_rehearsal_says_that_its_figures_mean_nothing() -> None:
    text = page([Result("steps", "training steps", FACTS, True, "done")], STEPS)
    assert "**the figures mean nothing.**" in text
    assert text.count("not begun") == len(STEPS) - 1


def test_commit_tells_changed_code_from_committed_one_and_needs_no_git(tmp_path: Path) -> None:
    assert facts.commit_here(tmp_path).startswith("no git, files ")
    before = facts.commit_here(tmp_path)
    (tmp_path / "nas").mkdir()
    (tmp_path / "nas" / "a.py").write_text("1")
    assert facts.commit_here(tmp_path) != before


def test_outcomes_of_tests_are_read_from_the_lines_of_pytest() -> None:
    lines = [
        "tests/a.py::test_one PASSED                     [ 33%]",
        "tests/a.py::test_two[a b] FAILED                [ 66%]",
        "tests/a.py::test_three SKIPPED (no)             [100%]",
        "FAILED tests/a.py::test_two[a b] - RuntimeError: CUDA error",
    ]
    counts, failures = gpu_tests.outcomes(lines)
    assert counts == {"PASSED": 1, "FAILED": 1, "SKIPPED": 1}
    assert failures == {"tests/a.py::test_two[a b]": "RuntimeError: CUDA error"}
    assert "tests/trials/training/test_cuda_graphs.py" in gpu_tests.marked_files()


def test_trials_are_as_long_as_three_rounds_fit_the_time() -> None:
    cost = Cost.of({"ours": 1.0, "plain": 6.0, "good": 4.0}, compiled=50.0)
    assert (cost.epoch, cost.compiling) == (15.0, 46.0)
    assert [cost.epochs(room, 10) for room in (1000.0, 150.0, 60.0)] == [10, 5, 1]
    assert Cost.of({"ours": 1.0, "good": 4.0}, compiled=None) == Cost(5.0, 0.0)
    assert cost.epochs(1000.0, 2) == 2


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")])
def test_scripts_of_others_compute_in_what_the_gpu_has_in_hardware(
    capability: tuple[int, int], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: None)
    monkeypatch.setattr(trials_per_hour, "image_file", lambda conditions: tmp_path)
    script = Script("good", Conditions(tmp_path, 0.0), read_yaml(Recipe, "proxy_cifar"))
    assert script._request["precision"] == expected


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_the_good_script_takes_its_steps_in_that_precision(precision: str) -> None:
    computed: list[torch.dtype] = []
    network = torch.nn.Linear(4, 3)
    network.register_forward_hook(lambda module, given, result: computed.append(result.dtype))
    before = network.weight.detach().clone()
    optimizer, labels = torch.optim.RMSprop(network.parameters(), lr=0.1), torch.zeros(8, dtype=torch.int64)
    scaler = scaler_of(precision, torch.device("cpu"))
    good_step(network, optimizer, torch.randn(8, 4), labels, precision=precision, scaler=scaler)
    assert computed == [HALF.get(precision, torch.float32)]
    assert not torch.equal(network.weight, before)
    assert network.weight.isfinite().all()


# ---------------------------------------------------------------------- rehearsals


@pytest.mark.usefixtures("as_a_worker")
def test_cheap_measurements_rehearse_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.doctor.gpu_probes.COPY_SECONDS", 0.0)
    conditions = Conditions(tmp_path, time.monotonic() + 600, rehearse=True)
    fp32, bf16 = graph_parity.measure(conditions)
    assert (fp32.figures["launched"], fp32.figures["loss differs by"]) == ("eager against eager", 0.0)
    assert bf16.figures["weights differ by, of the largest"] == 0.0
    (step,) = training_steps.measure(conditions)
    assert isinstance(step.figures["share of the bandwidth's bound, %"], Several)
    assert step.figures["kernels a step"]
    *verdicts, plain, gated, _ = own_kernels.measure(conditions)
    assert {row.figures["own kernels are"] for row in verdicts} == {"not used"}
    assert isinstance(plain.figures["torch's over own"], Several)
    assert gated.label.startswith("gated")
    stages = list(full_training.measure(conditions))
    assert [stage.label.split(",")[0] for stage in stages] == ["16 px", "32 px"]
    *after, grown = memory_between_trials.measure(conditions)
    assert [row.label for row in after] == ["after 1 trials", "after 2 trials"]
    assert grown.headline


@pytest.mark.nightly
def test_a_step_of_the_good_script_never_waits_for_the_device() -> None:
    try:
        library = build(KEPT)
    except NoCompilerError as error:
        pytest.skip(f"the made-up GPU is not built: {error}")
    paths = os.pathsep.join(str(REPOSITORY / folder) for folder in ("", "tests", "tests/fixtures"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "made_up_gpu.good_script", str(library)],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["kernels"] > 100


@pytest.mark.nightly
def test_all_measurements_rehearse_by_the_command(tmp_path: Path) -> None:
    code = runner.main(["--rehearse", "--minutes", "60", "--out", str(tmp_path)])
    found = {step.name: read_result(tmp_path, step.name) for step in STEPS}
    assert {name: (result and result.state, result and result.said) for name, result in found.items()} == {
        step.name: ("done", "") for step in STEPS
    }
    assert code == 0
