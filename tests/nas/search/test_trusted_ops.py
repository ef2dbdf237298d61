"""Ops of the user's own in spaces and architectures: imported by consent alone, recorded, checked first."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Nas
from own_op_packages import BLOCKS, GHOST, forget, forgotten, write_package

from nas.results.run_files import KNOWN_FILES
from nas.search import own_ops
from nas.search.config import read_search_config
from nas.search.search import search
from search_spaces.networks.own_modules import own_ops_here
from search_spaces.networks.trusted import trust, trusted_by
from search_spaces.settings.config_error import ConfigError
from trials.executors.ray_actors import ray_actors
from trials.executors.ray_pool import WorkersError
from trials.executors.ray_tune import ray_tune
from trials.log.continuing import continue_command
from trials.log.file_names import OWN_OPS_FILE
from trials.trial import Execute

REFUSED = f"{GHOST}: an op of code that is not of this project; it is imported, and so runs, only if you say "
TRUST = ("--trust", "my_package")
SEARCHED = ("search", "mine.yaml", "--in-process", "--run", "run")
BLOCKS_FILE, IMPORTED = Path("my_package/blocks.py"), Path("imported")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the package, which is the current one; afterwards all is forgotten."""
    monkeypatch.chdir(tmp_path)
    write_package(tmp_path)
    with forgotten():
        own_ops._faults_of.cache_clear()
        yield tmp_path


def as_new() -> None:
    """As if this process had just begun."""
    import sys

    forget({name for name in sys.modules if name.partition(".")[0] != "my_package"})
    own_ops._faults_of.cache_clear()


def refused(nas: Nas, *words: str) -> str:
    """The message of a command that ends with exit code 2 and leaves nothing behind."""
    before = sorted(Path().rglob("*"))
    code, _, err = nas(*words)
    assert code == 2, err
    assert "Traceback" not in err
    assert sorted(Path().rglob("*")) == before
    return err


# ---------------------------------------------------------------------- searches


def test_a_search_with_an_own_op_is_recorded_resumed_and_refused_where_its_code_has_changed(
    nas: Nas,
) -> None:
    code, out, err = nas(*SEARCHED, *TRUST)
    assert code == 0, err
    assert "nas train run/best.yaml --data digits" in out
    assert out.count(" --trust my_package") == 3  # of the next steps, but for the report
    record = json.loads(Path("run", OWN_OPS_FILE).read_text())
    assert record["ops"] == [GHOST]
    assert record["trusted"] == ["my_package"]
    assert sorted(record["sources"]) == [
        "my_package/__init__.py",
        "my_package/blocks.py",
        "my_package/layers.py",
    ]
    assert OWN_OPS_FILE in KNOWN_FILES
    assert nas("verify", "run")[0] == 0
    assert continue_command("run").endswith("--run run --trust my_package")
    assert not list(Path("my_package").rglob("*.pyc"))

    more = ("search", "run/search.yaml", "--in-process", "--run", "run", "--set", "budget.trials=4")
    as_new()
    assert REFUSED in refused(nas, *more)
    Path("my_package/layers.py").write_text(Path("my_package/layers.py").read_text() + "# another\n")
    message = refused(nas, *more, *TRUST)
    assert "run: this run was made with another code of its own ops:" in message
    assert "my_package/layers.py has changed" in message
    assert "my_package.blocks" not in message

    as_new()
    Path("my_package/layers.py").write_text(Path("my_package/layers.py").read_text()[: -len("# another\n")])
    code, out, err = nas(*more, "--trust", "my_package.blocks")
    assert code == 0, err
    assert "best of 4" in out


def test_a_file_that_is_imported_later_or_not_at_all_counts_as_code_too(nas: Nas) -> None:
    Path("my_package/unused.py").write_text("first = 1\n")
    assert nas(*SEARCHED, *TRUST)[0] == 0
    as_new()
    Path("my_package/unused.py").write_text("first = 2\n")
    Path("my_package/another.py").write_text("")
    message = refused(nas, "search", "run/search.yaml", "--in-process", "--run", "run", *TRUST)
    assert "my_package/unused.py has changed" in message
    assert "my_package/another.py is new" in message
    as_new()
    assert "my_package/unused.py has changed" in refused(nas, "measure", "--run", "run", *TRUST)


def test_a_worker_adds_to_what_is_trusted_and_takes_nothing_away(here: Path) -> None:
    trust(["my_package", "another"])
    own = own_ops_here([GHOST])
    assert own is not None
    own.load()
    assert trusted_by("another.blocks") == "another"


def test_a_module_that_is_hidden_by_pythons_own_is_named(nas: Nas) -> None:
    Path("queue.py").write_text("")
    Path("net.yaml").write_text(Path("net.yaml").read_text().replace("my_package.blocks", "queue"))
    message = refused(nas, "describe", "net.yaml", "--trust", "queue")
    assert "queue is already " in message
    assert "which hides" in message


def test_a_run_is_read_and_reported_without_an_import(nas: Nas) -> None:
    assert nas(*SEARCHED, *TRUST)[0] == 0
    for command in ("status", "verify", "report", "next"):
        IMPORTED.unlink(missing_ok=True)
        as_new()
        assert nas(command, "run")[0] == 0
        assert not IMPORTED.exists(), command


@pytest.mark.parametrize(
    "words",
    [
        SEARCHED,
        ("search", "mine.yaml", "--run", "run"),
        ("search", "mine.yaml", "--run", "run", "--in-process", "--budget", "1m"),
        ("search", "mine.yaml", "--estimate", "--in-process"),
        ("describe", "space.yaml"),
        ("describe", "net.yaml"),
        ("train", "net.yaml", "--data", "digits", "--run", "run"),
        ("measure", "net.yaml"),
        ("measure", "--table", "space.yaml", "--out", "table.json"),
        ("scale", "net.yaml", "--phi", "1"),
        ("compare", "net.yaml", "other.yaml", "--data", "digits", "--run", "run"),
    ],
    ids=" ".join,
)
def test_commands_that_build_an_own_op_refuse_without_trust_and_leave_nothing(
    nas: Nas, words: tuple[str, ...]
) -> None:
    message = refused(nas, *words)
    assert REFUSED in message
    assert message.split("\n")[-2].rpartition("you trust it: ")[2].startswith("--trust my_package")
    assert not IMPORTED.exists()


def test_trained_weights_of_an_own_op_are_used_with_trust_and_refused_without(nas: Nas) -> None:
    recipe = Path("recipe.yaml")
    recipe.write_text("epochs: 1\nbatch_size: 64\nflip: false\nresolution: 16\nprecision: fp32\n")
    trained = ("train", "net.yaml", "--data", "digits", "--recipe", str(recipe), "--run", "run")
    code, _, err = nas(*trained, *TRUST)
    assert code == 0, err
    weights = "run/weights/best.safetensors"
    evaluated = ("evaluate", weights, "--data", "digits", "--json")
    assert nas(*evaluated, *TRUST)[0] == 0
    as_new()
    IMPORTED.unlink()
    for words in (evaluated, ("predict", weights, "my_package", "-o", "said.csv"), (*trained, "--json")):
        assert REFUSED in refused(nas, *words)
    assert not IMPORTED.exists()


def test_an_architecture_with_an_own_op_is_described_measured_and_scaled(nas: Nas) -> None:
    assert "GhostBlock" in nas("describe", "net.yaml", *TRUST)[1]
    code, out, err = nas("measure", "net.yaml", "--batch-size", "4", "--resolution", "32", "--json", *TRUST)
    assert code == 0, err
    (measured,) = json.loads(out)["networks"]
    assert measured["peak_memory_bytes"]  # of a process of its own
    assert nas("scale", "net.yaml", "--phi", "1", *TRUST)[0] == 0


# ---------------------------------------------------------------------- workers


@pytest.mark.parametrize("executor", [ray_actors(workers=1), ray_tune(workers=1)], ids=["actors", "tune"])
def test_workers_import_the_same_ops(one_ray: None, executor: Execute) -> None:
    trust(["my_package"])
    result = search(read_search_config("mine.yaml"), Path("run"), execute=executor)
    assert {row["status"] for row in result.rows} <= {"completed", "cached"}


def test_a_worker_that_cannot_import_the_op_says_what_to_do(
    one_ray: None, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = here / "elsewhere"
    shutil.move("my_package", elsewhere / "my_package")
    monkeypatch.syspath_prepend(str(elsewhere))  # of this process alone
    trust(["my_package"])
    with pytest.raises(WorkersError, match=r"there is no module my_package\.blocks in .* PYTHONPATH"):
        search(read_search_config("mine.yaml"), Path("run"), execute=ray_actors(workers=1))
    assert not Path("run").exists()


# ---------------------------------------------------------------------- what may not be imported


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ("fusd_mbconv", "'fusd_mbconv' is not an op; ops are basic, bottleneck, conv, "),
        ("../x:y", "'../x:y' is not an op; one of your own is package.module:Class, of letters"),
        ('"my_package.blocks:"', "'my_package.blocks:' is not an op; one of your own is"),
        ('":GhostBlock"', "':GhostBlock' is not an op; one of your own is"),
        (f"{GHOST}.__init__", "is not an op; one of your own is package.module:Class"),
        ("my-package.blocks:GhostBlock", "is not an op; one of your own is package.module:Class"),
        ("mу_package.blocks:GhostBlock", "is not an op; one of your own is package.module:Class"),
        ('"my_package.blocks:Ghost\\nBlock"', "is not an op; one of your own is package.module:Class"),
        (f"{'a' * 300}:B", "in at most 200 characters"),
        ("my_package.blocks", "'my_package.blocks' is not an op; ops are"),
        ("[3]", "3 is not an op; ops are basic, "),
    ],
)
def test_names_that_are_no_ops_are_refused_before_any_import(nas: Nas, op: str, message: str) -> None:
    network = Path("net.yaml")
    network.write_text(network.read_text().replace(GHOST, op))
    assert message in refused(nas, "describe", "net.yaml", *TRUST)
    assert not IMPORTED.exists()


@pytest.mark.parametrize(
    ("op", "trusted", "message"),
    [
        ("os:system", "my_package", "os:system: an op of code that is not of this project; "),
        (
            "os:system",
            "os",
            "os:system: is an object of the class builtin_function_or_method; the class of a",
        ),
        ("nas.cli:app", "my_package", "nas.cli:app: nas is a package of this project"),
        ("my_packages:A", "my_package", "--trust my_packages"),
        ("my_package.blocks:Unlike", "my_package", "is the class Unlike; the class of a block"),
        ("my_package.blocks:function", "my_package", "is an object of the class function; the class of a"),
        ("my_package.blocks:Gost", "my_package", "has no Gost; in it are GhostBlock, Halved, Unlike"),
        ("my_package.block:A", "my_package", "my_package.block:A: there is no module my_package.block in "),
        ("my_package.blocks:torch", "my_package", "is an object of the class module"),
    ],
)
def test_only_classes_of_networks_of_trusted_packages_are_ops(
    nas: Nas, op: str, trusted: str, message: str
) -> None:
    for name in ("net.yaml", "space.yaml"):
        Path(name).write_text(Path(name).read_text().replace(GHOST, op))
    IMPORTED.touch()  # here the package may be imported
    assert message in refused(nas, "describe", "net.yaml", "--trust", trusted)
    assert message in refused(nas, *SEARCHED, "--trust", trusted)


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ("../x", "--trust '../x': expected the name of a package or module"),
        ("my_package.blocks:GhostBlock", "expected the name of a package or module"),
        ("", "--trust '': expected the name of a package"),
        ("nas", "--trust nas: nas is a package of this project"),
    ],
)
def test_trust_takes_names_of_packages_alone(nas: Nas, package: str, message: str) -> None:
    assert message in refused(nas, *SEARCHED, "--trust", package)


def test_an_error_in_the_module_is_told_by_its_line(nas: Nas) -> None:
    BLOCKS_FILE.write_text(BLOCKS.replace("from my_package.layers import layer", "from my_package import x"))
    IMPORTED.touch()
    message = refused(nas, "describe", "space.yaml", *TRUST)
    assert (
        f"{GHOST}: importing it failed at my_package/blocks.py, line 2, in <module>: ImportError" in message
    )


def test_the_contract_of_ops_is_checked_before_a_search_and_by_describe(nas: Nas) -> None:
    for name in ("net.yaml", "space.yaml"):
        Path(name).write_text(Path(name).read_text().replace("GhostBlock", "Halved"))
    IMPORTED.touch()
    for words in (("describe", "space.yaml"), ("describe", "net.yaml"), SEARCHED):
        message = refused(nas, *words, *TRUST)
        assert "ops of your own break the contract of ops" in message
        assert "\n  my_package.blocks:Halved: stride 1" in message
        assert "its output has the shape" in message


def test_an_op_is_trusted_in_one_call_and_not_in_the_next() -> None:
    config = read_search_config("mine.yaml")
    with pytest.raises(ConfigError, match="--trust my_package"):
        own_ops.own_ops_of(config)
    trust(["my_package.blocks"])
    found = own_ops.own_ops_of(config)
    assert found is not None
    assert found.trusted == ("my_package.blocks",)
    trust(["another"])
    with pytest.raises(ConfigError, match="--trust my_package"):
        own_ops.own_ops_of(config)
