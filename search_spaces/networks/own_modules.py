"""The user's own ops, package.module:Class: imported where their package is trusted, and never otherwise.

An op's name stands in files that may come from anybody, and importing a module runs it. So files are read,
compared and shown without; only what builds a network imports, and only from packages that whoever calls has
named: by --trust on the command line, by `trusted.trust` from Python.
"""

import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from search_spaces.networks.module_import import imported_module, kind_of, lacking
from search_spaces.networks.ops import is_own_op
from search_spaces.networks.trusted import check_not_ours, folder_of, packages_of, trust, trusted_by
from search_spaces.networks.users_code import error_of_users
from search_spaces.settings.yaml_files import ConfigError

if TYPE_CHECKING:  # the command line names these errors without torch
    from torch import nn

SEE_PYTHONPATH = "make it importable where workers run: install it there, or name its folder in PYTHONPATH"

_classes: dict[str, "type[nn.Module]"] = {}
_sources: dict[str, str] = {}  # module: the digest of its file when it was imported here


@dataclass(frozen=True)
class OwnOps:
    """The user's own ops of a search, for its record and for processes that build them, too.

    Attributes:
        ops: their names.
        trusted: the packages from which the user lets modules be imported.
        folder: the one that is searched first, where it is there.
        sources: the SHA-256 of the file of each module that they consist of.
    """

    ops: tuple[str, ...]
    trusted: tuple[str, ...]
    folder: str
    sources: Mapping[str, str]

    def load(self) -> None:
        """Imports the ops in this process, which was started for them.

        Raises:
            ConfigError: they are not importable here, or are others than where the search was started.
        """
        trust(self.trusted, folder=Path(self.folder))
        try:
            own_ops_here(self.ops)
        except ConfigError as error:
            raise ConfigError(f"{error}; {SEE_PYTHONPATH}") from error
        if changed := changed_sources(self.sources):
            raise ConfigError(
                f"{'; '.join(changed)}: other code here than where the search was started; give all hosts "
                "the same, and start the search again"
            )


def own_class(op: str) -> Any:
    """The class of one of the user's own ops, imported once.

    Raises:
        ConfigError: its package is not trusted, or there is no such class of networks.
    """
    where = op.partition(":")[0]
    check_not_ours(where, op)
    package = trusted_by(where)
    if package is None:
        raise ConfigError(
            f"{op}: an op of code that is not of this project; it is imported, and so runs, only if you say "
            f"that you trust it: --trust {where.partition('.')[0]}"
        )
    if op not in _classes:
        _classes[op] = _imported_class(op, folder_of(package))
    return _classes[op]


def _imported_class(op: str, folder: Path) -> "type[nn.Module]":
    from torch import nn

    where, _, name = op.partition(":")
    before = set(sys.modules)
    module = imported_module(where, op, folder=folder if folder.is_dir() else None)
    found = _attribute(module, name, op)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        words = f"the class {found.__name__}" if isinstance(found, type) else kind_of(found)
        raise ConfigError(
            f"{op}: is {words}; the class of a block, a subclass of torch.nn.Module, is expected"
        )
    top = where.partition(".")[0]
    for each in {where, *packages_of(where), *(set(sys.modules) - before)}:
        if each.partition(".")[0] == top and (digest := _digest(each)) is not None:
            _sources.setdefault(each, digest)
    if where not in _sources:
        raise ConfigError(
            f"{op}: the module {where} has no file, of which a search could record the digest; write the "
            "class in a file of your own"
        )
    return found


def _attribute(module: ModuleType, name: str, op: str) -> Any:
    try:
        if hasattr(module, name):
            return getattr(module, name)
    except Exception as error:  # of a __getattr__ of the module's
        raise error_of_users(op, f"looking up {name}", error) from error
    raise ConfigError(f"{op}: {lacking(module, module.__name__, name)}")


# ---------------------------------------------------------------------- sources


def own_ops_here(ops: Iterable[str]) -> OwnOps | None:
    """The user's own ops among these, imported; None where all are shipped ones.

    Modules that they consist of are theirs and those that these import from the same package.

    Raises:
        ConfigError: one of them cannot be imported, or must not.
    """
    own = tuple(sorted({op for op in ops if is_own_op(op)}))
    if not own:
        return None
    for op in own:
        own_class(op)
    modules = [op.partition(":")[0] for op in own]
    trusted = sorted({package for module in modules if (package := trusted_by(module)) is not None})
    tops = {module.partition(".")[0] for module in modules}
    sources = {name: _sources[name] for name in sorted(_sources) if name.partition(".")[0] in tops}
    return OwnOps(own, tuple(trusted), str(folder_of(trusted[0])), sources)


def changed_sources(recorded: Mapping[str, str]) -> list[str]:
    """Sentences about modules that are not as they were recorded; none of sound ones."""
    found = []
    for name, digest in recorded.items():
        now = _sources.get(name) or _digest(name)
        if now is None:
            found.append(f"the module {name} is not imported any more")
        elif now != digest:
            found.append(f"the file of the module {name} has changed")
    return found


def _digest(name: str) -> str | None:
    """The SHA-256 of an imported module's file; None where there is none.

    A module that is not imported is not looked for: looking for one in a package imports the package.
    """
    path = getattr(sys.modules.get(name), "__file__", None)
    try:
        return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None
