"""Networks by names: how they are found, made and refused, and where a user's own error stands."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import any_modules
import pytest
import torch
from torch import nn

from search_spaces.networks.module_import import importing_here
from search_spaces.settings.config_error import ConfigError
from trials.timing.module_errors import users_errors
from trials.timing.module_source import is_module_source, module_source, source_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self{arguments}):
        super().__init__()
        self.head = nn.Linear(3, {width})

    def forward(self, images):
        return self.head(images.mean((2, 3)))
"""


def test_names_of_modules_are_told_from_files_and_published_names(here: Path) -> None:
    (here / "odd:name.yaml").write_text("")
    names = ["a:B", "a.b:C.d", "timm:resnet50", "odd:name.yaml", "s3://bucket/a.yaml", "efficientnet-b0"]
    assert [is_module_source(name) for name in names] == [True, True, True, False, False, False]


def test_a_class_is_imported_from_the_current_directory_and_nothing_is_left_there(here: Path) -> None:
    (here / "package").mkdir()
    (here / "package" / "networks.py").write_text(
        NET.format(arguments=", num_classes=7", width="num_classes")
    )
    before = list(sys.path)
    source = module_source("package.networks:Net")
    assert (source.takes_classes, source.typed) == (True, "package.networks:Net")
    assert [source.build(number).head.out_features for number in (None, 3)] == [7, 3]  # type: ignore[union-attr]
    assert sys.path == before
    assert [path.name for path in here.rglob("*")] == ["package", "networks.py"]


def test_the_current_directory_comes_first_while_a_module_is_imported(here: Path) -> None:
    with importing_here():
        assert sys.path[0] == str(here)
        assert sys.dont_write_bytecode
    assert str(here) not in sys.path


def test_a_function_and_a_nested_name_are_called(here: Path) -> None:
    (here / "zoo.py").write_text(
        NET.format(arguments="", width="5") + "\nclass Zoo:\n    def small():\n        return Net()\n"
    )
    source = module_source("zoo:Zoo.small")
    assert source.build(None).head.out_features == 5  # type: ignore[union-attr]
    assert source.build(10).head.out_features == 5  # type: ignore[union-attr]


def test_classes_and_functions_have_sources_by_which_other_processes_find_them() -> None:
    assert source_of(any_modules.Tiny).typed == "any_modules:Tiny"
    assert source_of(any_modules.pairs).name == "pairs"
    assert source_of(lambda: nn.Linear(3, 4)).typed is None

    class Local(nn.Module):
        pass

    assert source_of(Local).typed is None


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (any_modules.a_value, "is an object of the class Tiny; a class or a function is expected"),
        (any_modules.Plain, "is a class of another kind"),
        (any_modules.of_width, "needs width; it is called without arguments, or with num_classes"),
    ],
)
def test_what_gives_no_network_when_it_is_called_is_refused(made: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_of(made)


def test_what_a_function_gives_must_be_a_network() -> None:
    with pytest.raises(ConfigError, match=r"no_network: gives an object of the class dict; a network"):
        source_of(any_modules.no_network).build(None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.py:Net", r"name a file as a module, net:Net"),
        ("net:", "expected package.module:Net, timm:NAME or torchvision:NAME"),
        ("a b:Net", "expected package.module:Net"),
        ("nowhere:Net", "there is no module nowhere in "),
        ("net.inner:Net", "there is no module net.inner in "),
        ("net:CONFIG.Net", "net:CONFIG.Net: an object of the class dict has no Net"),
        ("net:other.Net", "net:other.Net: other has no Net"),
        (
            "net:given.Net",
            r"net:given\.Net: looking up Net failed at net\.py, line \d+, in Net: KeyError: 'a'",
        ),
        ("net:Ned", r"the module net has no Ned; in it are Net, other \(did you mean 'Net'\?\)"),
        ("trials.mine:Net", "trials is a package of this project, which hides yours"),
    ],
)
def test_names_that_lead_nowhere_are_refused(name: str, message: str, here: Path) -> None:
    more = (
        "\ndef other():\n    return Net()\n\nCONFIG = {'a': 1}\n"
        "class _Given:\n    @property\n    def Net(self):\n        return {}['a']\ngiven = _Given()\n"
    )
    (here / "net.py").write_text(NET.format(arguments="", width="5") + more)
    with pytest.raises(ConfigError, match=message):
        module_source(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import torch\n1 / 0\n", r"bad\.py, line 2, in <module>: ZeroDivisionError"),
        ("class Net(\n", r"bad\.py, line 1: SyntaxError: '\(' was never closed"),
        (
            "import numpy\nimport no_such\n",
            r"bad\.py, line 2, in <module>: ModuleNotFoundError: No module",
        ),
        ("raise SystemExit(3)\n", r"bad\.py, line 1, in <module>: SystemExit: 3"),
        (
            "from bad_part import x\n",
            r"bad_part\.py, line 2, in <module>: NameError: name 'y' is not defined",
        ),
    ],
)
def test_errors_of_an_import_name_the_users_own_file_and_line(text: str, message: str, here: Path) -> None:
    (here / "bad.py").write_text(text)
    (here / "bad_part.py").write_text("x = 1\nx = y\n")
    with pytest.raises(ConfigError, match=rf"^bad:Net: importing it failed at {message}"):
        module_source("bad:Net")


def test_errors_of_a_pass_name_the_users_innermost_line_not_torchs(here: Path) -> None:
    (here / "deep.py").write_text(
        "from torch import nn\n"
        "class Inner(nn.Module):\n"
        "    def forward(self, images):\n"
        "        return nn.functional.linear(images, images.new_ones(2, 2))\n"
        "def net():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 1), Inner())\n"
    )
    network = module_source("deep:net").build(None)
    with pytest.raises(ConfigError) as refused, users_errors("deep:net", "its forward pass"):
        network(torch.zeros(1, 3, 4, 4))
    assert str(refused.value).startswith(
        "deep:net: its forward pass failed at deep.py, line 4, in forward: RuntimeError: "
    )
    assert "\n" not in str(refused.value)


def test_memory_that_runs_out_is_no_error_of_the_users() -> None:
    with pytest.raises(MemoryError), users_errors("a:b", "making it"):
        raise MemoryError
    with pytest.raises(KeyboardInterrupt), users_errors("a:b", "making it"):
        raise KeyboardInterrupt


# ---------------------------------------------------------------------- libraries


def stand_in(monkeypatch: pytest.MonkeyPatch, library: str) -> list[tuple[str, dict[str, Any]]]:
    """A library of one network in the place of timm or torchvision; returns the calls that it gets."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def create(name: str, **options: Any) -> nn.Module:
        calls.append((name, dict(options)))
        options.pop("weights", None)
        return any_modules.Tiny(**options)

    module = ModuleType(library)
    if library == "timm":
        module.list_models, module.create_model = (lambda: ["tiny_net"]), create  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "timm", module)
        return calls
    models = ModuleType("torchvision.models")
    models.list_models = lambda module: ["tiny_net"] if module is models else []  # type: ignore[attr-defined]
    models.get_model = create  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", module)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    return calls


@pytest.mark.parametrize(("library", "always"), [("timm", {}), ("torchvision", {"weights": None})])
def test_networks_of_libraries_are_made_without_weights(
    library: str, always: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = stand_in(monkeypatch, library)
    source = module_source(f"{library}:tiny_net")
    assert (source.name, source.typed, source.takes_classes) == (f"{library}:tiny_net",) * 2 + (True,)
    assert source.build(9).head.out_features == 9  # type: ignore[union-attr]
    source.build(None)
    assert calls == [("tiny_net", {**always, "num_classes": 9}), ("tiny_net", always)]
    if library == "timm":
        module_source("timm:tiny_net.in1k").build(None)
        assert calls[-1] == ("tiny_net.in1k", {})
    with pytest.raises(ConfigError, match=rf"{library} has no network of that name; .* mean 'tiny_net'"):
        module_source(f"{library}:tiny_nat")


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_libraries_do_not_find_modules_of_the_current_directory(
    library: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "einops_of_mine.py").write_text("")
    stand_in(monkeypatch, library)
    source = module_source(f"{library}:tiny_net")

    class Importing(any_modules.Tiny):
        def __init__(self) -> None:
            import einops_of_mine  # noqa: F401

    monkeypatch.setattr(any_modules, "Tiny", Importing)
    with pytest.raises(ConfigError, match=r"making it failed .* No module named 'einops_of_mine'"):
        source.build(None)
    with source.importing():
        assert str(here) not in sys.path
    (here / "mine.py").write_text("from any_modules import Tiny\n")
    module_source("mine:Tiny")  # imports it
    with module_source("mine:Tiny").importing():
        assert sys.path[0] == str(here)


def raising(error: Exception) -> Callable[[str], Any]:
    def fail(name: str) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError(name="timm"), "timm is not installed here; pip install timm"),
        (ModuleNotFoundError(name="huggingface_hub"), "timm lacks huggingface_hub; install it"),
        (RuntimeError("operator torchvision::nms does not exist"), "does not load beside torch .*::nms"),
    ],
)
def test_a_library_that_cannot_be_used_here_is_said(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.import_module", raising(error))
    with pytest.raises(ConfigError, match=message):
        module_source("timm:resnet50")
