"""Rows of an earlier run, from which a strategy learns before its first proposal."""

from dataclasses import replace

from analysis.trial_rules import is_counted
from nas.search.config import SearchConfig
from nas.search.own_ops import own_ops_of
from nas.search.recorded_config import recorded_config
from nas.search.same_search import differences
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.setting_errors import SettingError, blaming
from search_spaces.settings.yaml_files import to_mapping
from trials.log.file_names import TRIALS_FILE, WARM_START_FILE
from trials.log.own_ops_record import check_same_ops
from trials.log.rows import ask_from_row, outcome_of
from trials.log.run_places import place_of, run_folder
from trials.log.run_reader import recorded_trials
from trials.log.store import RunStore
from trials.log.tables import DamagedPartError
from trials.reward import recorded_reward
from trials.trial import Ask, Outcome

PLACE = ("warm_start",)  # in a search file
SAME = ("space", "data", "recipe", "timing", "objective")  # what rows must share to be compared


def check_warm_start(config: SearchConfig) -> None:
    """Refuses a run whose rows cannot be compared with this search's.

    Raises:
        SettingError: no run, without finished trials, or made under other conditions.
    """
    if config.warm_start is None:
        return
    with blaming(PLACE):
        earlier = run_folder(config.warm_start)
        recorded_trials(earlier)
        before = to_mapping(recorded_config(earlier))
    now = to_mapping(config)
    found = [line for key in SAME for line in differences(before.get(key), now.get(key), key)]
    if own_ops_of(config):
        with blaming(PLACE):
            check_same_ops(earlier)
    if found:
        lines = "\n".join(f"  {line}" for line in found)
        raise SettingError(
            PLACE,
            f"{place_of(earlier)} was made under other conditions, so its rows cannot be compared:\n{lines}",
        )


def warm_start(config: SearchConfig, store: RunStore) -> list[tuple[Ask, Outcome]]:
    """Asks and outcomes of an earlier run in their order, with rewards by this search's terms.

    The earlier rows are copied into the run directory when it begins. Asks have negative numbers.

    Raises:
        ConfigError: the copy is damaged, or is missing and cannot be made (`check_warm_start`); a term of the
            reward cannot be computed from the earlier rows.
    """
    if config.warm_start is None:
        return []
    if not (store.folder / WARM_START_FILE).is_file():
        check_warm_start(config)  # the earlier run may have changed since this one began
        store.write_bytes(WARM_START_FILE, (run_folder(config.warm_start) / TRIALS_FILE).read_bytes())
    try:
        rows = sorted(store.rows_of(WARM_START_FILE), key=lambda row: row["tell_seq"])
    except DamagedPartError as error:
        raise ConfigError(
            f"{store.folder / WARM_START_FILE}: damaged ({error}); remove this file: it is copied again from "
            f"{config.warm_start}, as that run is now"
        ) from None
    # A stopped trial has only a bound, and that is by the terms of the earlier run.
    told = [row for row in rows if is_counted(row) and row["status"] != "stopped"]
    reward = recorded_reward(config.reward, where="warm_start")
    try:
        rewards = [reward.of_row(row) or 0.0 for row in told]
    except ValueError as error:
        raise SettingError(PLACE, f"{config.warm_start}: {error}; choose other terms") from None
    known = []
    for i, (row, rewarded) in enumerate(zip(told, rewards, strict=True)):
        outcome = outcome_of(row)
        assert outcome is not None, "a counted trial did not crash"
        ask = replace(ask_from_row(row), trial_id=i - len(told), aux={})
        known.append((ask, replace(outcome, reward=rewarded)))
    return known
