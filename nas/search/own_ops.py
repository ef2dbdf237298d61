"""The user's own ops of a search: imported, checked, compared with those of its run."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from nas.search.config import SearchConfig
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.blocks import op_class
from search_spaces.networks.op_contract import faults_of_op
from search_spaces.networks.own_modules import OwnOps, own_ops_here
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.setting_errors import SettingError, refused_as
from trials.log.own_ops_record import check_same_ops

SPACE = ("space",)


def own_ops_of(config: SearchConfig) -> OwnOps | None:
    """The user's own ops that a search may build, imported; None where all are shipped ones.

    Raises:
        ConfigError: one of them cannot be imported, or must not.
    """
    ops = {stage.op for network in config.initial for stage in network.stages}
    return own_ops_here(ops | ops_in(config.space))


def ops_in(described: SearchSpace | Architecture) -> set[str]:
    """The ops of an architecture, or of a space and its reference."""
    if isinstance(described, Architecture):
        return {stage.op for stage in described.stages}
    return {op for stage in described.stages for op in stage.op} | ops_in(described.reference)


def check_own_ops(config: SearchConfig, folder: Path | None = None) -> None:
    """Checks the user's own ops of a search; with a folder also that they equal those of the run in it.

    Raises:
        ConfigError: one cannot or must not be imported, has changed, or breaks the contract of ops.
    """
    try:
        own = own_ops_of(config)
    except ConfigError as error:
        raise SettingError(SPACE, str(error)) from error
    if own is None:
        return
    if folder is not None:
        check_same_ops(folder)
    if faults := faults_of(own.ops):
        raise SettingError(SPACE, faults)


def check_contract(described: SearchSpace | Architecture, source: str) -> None:
    """Imports the user's own ops of a space or an architecture, and checks their contract.

    Raises:
        ConfigError: one cannot or must not be imported, or breaks the contract; it begins with `source`.
    """
    with refused_as(source):
        own = own_ops_here(ops_in(described))
        if own is not None and (faults := faults_of(own.ops)):
            raise ConfigError(faults)


def faults_of(ops: Sequence[str]) -> str:
    """The faults of imported ops of the user's, each in a line below the first; empty without any."""
    found = [fault for op in ops for fault in _faults_of(op)]
    return "\n".join(["ops of your own break the contract of ops:", *found]) if found else ""


@lru_cache  # a command asks several times
def _faults_of(op: str) -> tuple[str, ...]:
    return tuple(f"  {fault}" for fault in faults_of_op(op_class(op), op=op))
