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
from search_spaces.networks.trusted import check_not_ours, folder_of, trust, trusted_by
from search_spaces.networks.users_code import error_of_users
from search_spaces.settings.config_error import ConfigError

if TYPE_CHECKING:  # the command line names these errors without torch
    from torch import nn

SEE_PYTHONPATH = "make it importable where workers run: install it there, or name its folder in PYTHONPATH"

CODE = (".py", ".so", ".pyd")  # suffixes of files that are imported

_classes: dict[str, "type[nn.Module]"] = {}
# Of each package or module, at its first import here: the digest of each file with code, by its path in it.
_sources: dict[str, dict[str, str]] = {}


@dataclass(frozen=True)
class OwnOps:
    """The user's own ops of a search, for its record and for processes that build them, too.

    Attributes:
        ops: their names.
        trusted: the packages from which the user lets modules be imported.
        folder: the one that is searched first, where it is there.
        sources: the SHA-256 of each file with code in their packages, by its path from the package on.
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
        trust(self.trusted, folder=Path(self.folder), besides=True)
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
    module = imported_module(where, op, folder=folder if folder.is_dir() else None)
    found = _attribute(module, name, op)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        words = f"the class {found.__name__}" if isinstance(found, type) else kind_of(found)
        raise ConfigError(
            f"{op}: is {words}; the class of a block, a subclass of torch.nn.Module, is expected"
        )
    top = where.partition(".")[0]
    if top not in _sources:
        _sources[top] = _digests(top)
    if getattr(module, "__file__", None) is None or not _sources[top]:
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

    They consist of all code of their packages: what of it is imported, and when, may depend on the process.

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
    tops = sorted({module.partition(".")[0] for module in modules})
    sources = {file: digest for top in tops for file, digest in _sources[top].items()}
    return OwnOps(own, tuple(trusted), str(folder_of(trusted[0])), sources)


def changed_sources(recorded: Mapping[str, str]) -> list[str]:
    """Sentences about files of packages that are not as they were recorded; none of sound ones.

    The packages have been imported in this process.
    """
    tops = {Path(file).parts[0].removesuffix(".py") for file in recorded}
    now = {file: digest for top in sorted(tops) for file, digest in _sources.get(top, {}).items()}
    found = [f"{file} is not there any more" for file in recorded if file not in now]
    found += [f"{file} has changed" for file in recorded if now.get(file, recorded[file]) != recorded[file]]
    return found + [f"{file} is new" for file in now if file not in recorded]


def _digests(top: str) -> dict[str, str]:
    """The SHA-256 of each file with code in an imported package, or of a module's one file, by its path."""
    module = sys.modules[top]
    folders = list(getattr(module, "__path__", ()))
    if not folders:
        file = getattr(module, "__file__", None)
        return {} if file is None else {f"{top}.py": _digest(Path(file))}
    files = {
        f"{top}/{path.relative_to(folder).as_posix()}": path
        for folder in folders
        for path in Path(folder).rglob("*")
        if path.suffix in CODE and path.is_file()
    }
    return {name: _digest(path) for name, path in sorted(files.items())}


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
