"""Networks that are no architectures of ours: named as package.module:Net, timm:NAME, torchvision:NAME.

Naming a module on the command line is the user's request to import and to run it.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from search_spaces.networks.module_import import imported_module, importing_here, kind_of, lacking
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.sentences import first_line
from trials.timing.module_errors import users_errors

CLASSES = "num_classes"  # the parameter that says how many logits a network has
LIBRARIES = ("timm", "torchvision")
FORMS = "package.module:Net, timm:NAME or torchvision:NAME"


@dataclass(frozen=True)
class ModuleSource:
    """A class or a function that gives a network.

    Attributes:
        name: of the network, on screens and in messages.
        make: gives it; called without arguments, or with num_classes.
        takes_classes: it may be called with num_classes.
        typed: the name by which another process finds it; None: none can.
        is_from_here: its module was searched in the current directory first, and so is what it imports later.
    """

    name: str
    make: Callable[..., Any]
    takes_classes: bool
    typed: str | None
    is_from_here: bool = False

    def importing(self) -> AbstractContextManager[None]:
        """A block in which code of the network runs, which may import more."""
        return importing_here() if self.is_from_here else nullcontext()

    def build(self, num_classes: int | None) -> nn.Module:
        """A network with weights from torch's current seed, on the CPU.

        Args:
            num_classes: given to it if it takes them.

        Raises:
            ConfigError: making it fails, or gives something else.
        """
        arguments = {CLASSES: num_classes} if self.takes_classes and num_classes is not None else {}
        with users_errors(self.name, "making it"), self.importing():
            made = self.make(**arguments)
        if not isinstance(made, nn.Module):
            raise ConfigError(
                f"{self.name}: gives {kind_of(made)}; a network, a torch.nn.Module, is expected"
            )
        return made


def is_module_source(source: str) -> bool:
    """True of the forms that `module_source` reads; a file of such a name is a file."""
    return ":" in source and "://" not in source and not os.path.exists(source)


def module_source(source: str) -> ModuleSource:
    """The network of a name; the current directory is searched first, as by python -m.

    Raises:
        ConfigError: there is none, or importing it fails.
    """
    where, _, name = source.partition(":")
    if where in LIBRARIES and name:
        return LIBRARY_SOURCES[where](source, name)
    is_file = where.endswith(".py") and os.path.isfile(where)
    if is_file or not all(part.isidentifier() for part in (*where.split("."), *name.split("."))):
        module = os.path.normpath(where.removesuffix(".py")).replace(os.sep, ".")
        hint = f"; name a file as a module, {module}:{name or 'Net'}" if where.endswith(".py") else ""
        raise ConfigError(f"{source}: expected {FORMS}{hint}")
    made: Any = imported_module(where, source)
    for part in name.split("."):
        with importing_here(), users_errors(source, f"looking up {part}"):  # code of the module's may answer
            if not hasattr(made, part):
                raise ConfigError(f"{source}: {lacking(made, where, part)}")
            made = getattr(made, part)
    return replace(source_of(made, name=source, typed=source), is_from_here=True)


def source_of(made: Any, *, name: str | None = None, typed: str | None = None) -> ModuleSource:
    """The source of a class or a function.

    Raises:
        ConfigError: it is neither, or has to be called with something else than num_classes.
    """
    name = name or str(getattr(made, "__qualname__", type(made).__name__))
    if isinstance(made, nn.Module) or not callable(made):
        raise ConfigError(
            f"{name}: is {kind_of(made)}; a class or a function is expected that gives a new network each "
            "time"
        )
    if inspect.isclass(made) and not issubclass(made, nn.Module):
        raise ConfigError(f"{name}: is a class of another kind; a subclass of torch.nn.Module is expected")
    parameters = _parameters(made)
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if others := [each for each in needed if each != CLASSES]:
        raise ConfigError(
            f"{name}: needs {', '.join(others)}; it is called without arguments, or with {CLASSES}; write a "
            "function that gives the network"
        )
    takes = any(each.name == CLASSES and each.kind is not each.POSITIONAL_ONLY for each in parameters)
    return ModuleSource(name, made, takes, typed or _importable(made))


def _parameters(made: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(made).parameters.values())
    except (TypeError, ValueError):  # of a builtin
        return []


def _importable(made: Any) -> str | None:
    """The name by which a process of its own finds a class or a function; None where it cannot."""
    module, name = getattr(made, "__module__", None), getattr(made, "__qualname__", "")
    if not module or module == "__main__" or "<" in name:
        return None
    found: Any = sys.modules.get(module)
    if getattr(found, "__file__", None) is None:
        return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is made else None


# ---------------------------------------------------------------------- libraries


def _of_timm(source: str, name: str) -> ModuleSource:
    timm = _library("timm", source)
    # A tag behind the name says how weights were trained, which are not loaded.
    _check_known(source, "timm", name.partition(".")[0], timm.list_models())

    def make(num_classes: int | None = None) -> Any:
        return timm.create_model(name, **({} if num_classes is None else {CLASSES: num_classes}))

    return ModuleSource(source, make, True, source)


def _of_torchvision(source: str, name: str) -> ModuleSource:
    models = _library("torchvision.models", source)
    # Those of detection and segmentation, which take and give something else, are in other modules.
    _check_known(source, "torchvision", name, models.list_models(module=models))

    def make(num_classes: int | None = None) -> Any:
        return models.get_model(name, weights=None, **({} if num_classes is None else {CLASSES: num_classes}))

    return ModuleSource(source, make, True, source)


def _library(module: str, source: str) -> Any:
    name = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise ConfigError(f"{source}: {name} lacks {error.name}; install it") from error
        raise ConfigError(f"{source}: {name} is not installed here; pip install {name}") from error
    except (ImportError, RuntimeError, OSError) as error:  # of a wheel for another torch
        raise ConfigError(
            f"{source}: {name} does not load beside torch {torch.__version__} ({first_line(error)}); install "
            "the version for it"
        ) from error


def _check_known(source: str, library: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise ConfigError(
            f"{source}: {library} has no network of that name; it has {len(known):,}{suggestion(name, known)}"
        )


LIBRARY_SOURCES = {"timm": _of_timm, "torchvision": _of_torchvision}
