"""Fixtures of several tests: a configuration, a search file, a local Ray, a typed command."""

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

# One thread, as in workers: two spinning teams on the same cores slow each other many times over.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # tests' Ray stays on the loopback interface
# Beside other tests, workers at Ray's nice 15 get almost nothing, and their test waits for them.
os.environ.setdefault("RAY_worker_niceness", "0")

from hypothesis import HealthCheck, settings
from tiny_searches import tiny_search

from nas.search.config import SearchConfig

# On a busy machine an example may take any time, and so may the first one, which reads all sources.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

MakeConfig = Callable[..., SearchConfig]
Nas = Callable[..., tuple[int, str, str]]  # exit code, standard output, standard error


def pytest_xdist_auto_num_workers() -> int:
    """Of `-n auto`: one more than cores, for much of the suite waits for processes that it has started."""
    return (os.cpu_count() or 1) + 1


# Files in which real processes are killed under Ray, which notices by clocks of its own: on an overloaded
# machine it may take for dead what only waits. Their tests are tried once more when they fail, and the
# summary says so ("1 rerun"); what fails twice has failed. All others fail for good.
RERUN = {
    "test_ray_actors": "workers of a real Ray are killed, stopped and replaced",
    "test_ray_cluster": "one of three nodes on this machine is killed, another joins",
    "test_ray_training": "one of two processes that train together is killed, and all start anew",
}


# By their time, those that wait for Ray beside those that compute.
LONGEST = (
    "test_ray_actors", "test_made_up_gpu", "test_strategy_contract", "test_cli", "test_full_training",
    "test_api_examples", "test_trusted_ops", "test_own_ops", "test_push_pull", "test_faults", "test_ray_tune",
    "test_golden_behaviour", "test_measure", "test_comparing", "test_stored_training", "test_train",
    "test_error_catalogue", "test_launch_training", "test_checkpoint", "test_stopping", "test_skill",
    "test_export_formats", "test_run_places", "test_strategy_benchmark", "test_longer_finalists",
    "test_halving_trials", "test_time_budget", "test_config_properties", "test_cloud_stores",
    "test_ray_cluster", "test_release", "test_weight_maps", "test_any_network", "test_counting",
    "test_report", "test_notebook", "test_sliders", "test_terminal", "test_simulate_command",
    "test_container", "test_layering",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Files are given out in the order below, and sources are compiled once."""
    # pytest-xdist would begin with the files of the most tests.
    config.option.loadscopereorder = False
    # Containers ask that no process keeps what it compiles: each of the many processes that tests start would
    # compile all sources, and each that collects tests all tests.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks those of RERUN; the longest files come first, so that no process ends with one alone."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))
    for item in items:
        if item.path.stem in RERUN:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests that collecting makes last: searching them for garbage is a third of its time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Packed images of tests go to one temporary folder of the session, never to the user's cache."""
    from caches import new_cache

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", new_cache(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """No test waits for the disk: the loss of power is played by a disk of tests (fault_files.py) alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def commands_made_once() -> Iterator[None]:
    """Typer makes its tree of commands once in a process, as for users, not for each typed command."""
    import typer.main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(scope="module")
def as_a_worker() -> Iterator[None]:
    """One thread, as in a worker; what a test does to threads and cores is undone."""
    import torch  # tests of what needs no torch load none

    threads = torch.get_num_threads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    if cores is not None:
        os.sched_setaffinity(0, cores)


# Where what is tested is how step time is measured or a training estimated, it is done as for users.
TIMED = {
    "test_block_times", "test_estimate", "test_inference_time", "test_predicted_step_time",
    "test_timing_places",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def timed_in_few_rounds(request: pytest.FixtureRequest) -> Iterator[None]:
    """Elsewhere it ends after a few short rounds, in this process: it is most of a short trial's time."""
    from timing_rounds import few_rounds

    with pytest.MonkeyPatch.context() as patch:
        if request.path.stem not in TIMED:
            few_rounds(patch.setattr)
        yield


@pytest.fixture
def make_config() -> MakeConfig:
    """Makes a valid search over the tiny space, with keys replaced as given."""
    return tiny_search


@pytest.fixture(scope="module")
def quick_comparisons() -> Iterator[None]:
    """Trainings of comparisons without pictures and estimates."""
    from comparisons import quick_trainings

    with quick_trainings():
        yield


@pytest.fixture(scope="module")
def whole_comparison(
    tmp_path_factory: pytest.TempPathFactory, as_a_worker: None, quick_comparisons: None
) -> Any:
    """A comparison that nothing interrupts, and of which no training diverges."""
    from comparisons import TWO

    from nas.comparing.compare import compare

    return compare(TWO, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def digits_search_file(tmp_path: Path) -> Path:
    """A search file of six very short real trials on the digits."""
    path = tmp_path / "small.yaml"
    path.write_text(
        "space: tiny\n"
        "data: {source: digits, fraction: 0.15}\n"
        "recipe: {epochs: 1, batch_size: 64, resolution: 16, flip: false}\n"
        "strategy: {name: evolution, population: 3, tournament: 2}\n"
        "reward: {step_time_ratio: -0.07, params: -0.05}\n"
        "baseline: 2\n"
        "budget: {trials: 6}\n"
        "seed: 1\n"
    )
    return path


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """A local Ray of two slots for a module: starting it takes seconds.

    However long processes take to start or to answer on a busy machine, they are waited for.
    """
    import ray

    from trials.executors import ray_pool

    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_worker_register_timeout_seconds", "600")
        patch.setenv("RAY_health_check_failure_threshold", "100")
        patch.setattr(ray_pool, "START_SECONDS", 600.0)
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            _temp_dir=folder,
        )
        yield
        ray.shutdown()


@pytest.fixture
def nas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Nas:
    """Types a command in the test's folder; what it prints with --json is checked against its schema."""
    from nas.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def typed(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        if "--json" in words and captured.out:
            from schema_files import validate

            validate(str(words[0]), captured.out)
        return code, captured.out, captured.err

    return typed


@pytest.fixture(scope="module")
def interpreted() -> Iterator[None]:
    """The tests of a module that ask for it run own kernels in Triton's interpreter."""
    from triton_kernels import interpreting

    with interpreting():
        yield


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of few programs: Triton's interpreter takes time for each, whatever its size."""
    from trials.kernels import tiles

    monkeypatch.setattr(tiles, "PROGRAMS", 4)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A server that answers as S3 does, with a bucket; the environment leads to it."""
    from store_server import serving

    with serving(tmp_path_factory.mktemp("cache")):
        yield
