"""Longer trainings of a sample of a run's architectures: whether its short trials can be trusted."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from analysis.frame import read_trials
from analysis.proxy_audit import ProxyAudit, proxy_audit
from analysis.trial_rules import longest
from nas.events import SearchEvent
from nas.search.config import Budget, SearchConfig
from nas.search.decided_kernels import decided_kernels
from nas.search.decided_precision import decided_precision
from nas.search.environment import Environment, describe_environment, record_environment, workers_file
from nas.search.in_flight import InFlight
from nas.search.instructions import Answer, Instruction, RecordAsk, Wait
from nas.search.kept_checkpoints import KeptCheckpoints
from nas.search.own_ops import check_own_ops
from nas.search.recorded_config import recorded_config
from nas.search.search import removed_if_never_begun, views_at_the_end
from nas.search.search_loop import RunRecord, SearchLoop
from nas.search.seeds import DERIVE_AUDIT_SEED
from nas.search.shared_setup import driver_images, shared_setup
from nas.search.stopping import StopRequest
from nas.search.trial_builder import needs_inference_time
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import yaml_text
from trials.images.data_record import check_same_data, record_of
from trials.log.file_names import AUDIT_FOLDER
from trials.log.row_types import AskRow, TrialRow, measured
from trials.log.rows import ask_from_row, step_time_from_row
from trials.log.run_folder import is_run
from trials.log.run_reader import read_run, recorded_trials
from trials.log.store import RunStore
from trials.reward import recorded_reward
from trials.run_trial import start_worker
from trials.trial import Ask, Execute, Outcome, StartWorker, Trial


@dataclass(frozen=True)
class AuditPlan:
    """Plan of an audit: read and checked before anything is written or started."""

    run: Path
    config: SearchConfig
    epochs: int
    sample: tuple[TrialRow, ...]  # of the run's rows, those that are not yet in the audit
    recorded: int  # asks that are
    in_flight: int  # of these, without an end

    @property
    def folder(self) -> Path:
        """The folder of the audit's trials."""
        return self.run / AUDIT_FOLDER


@dataclass(frozen=True)
class AuditTrained:
    """A longer training has ended, and its row is durable."""

    short: TrialRow
    row: TrialRow


def plan_audit(run: Path, *, trials: int, epochs: int) -> AuditPlan:
    """A sample over the whole range of rewards; an audit that exists is continued, or made larger.

    Raises:
        ConfigError: no run, too few completed trials, trainings that are not longer, or an audit of another
            length.
    """
    rows = recorded_trials(run)
    config = recorded_config(run)
    recorded_reward(config.reward, where=run)
    if epochs <= config.recipe.epochs:
        raise ConfigError(
            f"--epochs {epochs}: this run's trials have {config.recipe.epochs}, and an audit trains for "
            f"longer; {4 * config.recipe.epochs} is usual"
        )
    folder = run / AUDIT_FOLDER
    log = read_run(folder) if is_run(folder) else None
    known: list[AskRow | TrialRow] = [*log.trials.values(), *log.in_flight.values()] if log else []
    if others := sorted({row["epochs"] for row in known} - {epochs}):
        raise ConfigError(
            f"{folder}: holds trainings of {others[0]} epochs, which are not compared with others; use "
            f"--epochs {others[0]}, or move that folder away"
        )
    audited = {row["architecture_id"] for row in known}
    distinct = list(short_rows(rows).values())
    if len(distinct) < 2:
        raise ConfigError(
            f"{run}: an audit compares architectures, and {len(distinct)} has completed; search on first"
        )
    left = [row for row in distinct if row["architecture_id"] not in audited]
    sample = stratified(left, max(trials - len(known), 0), seed=config.seed)
    in_flight = len(log.in_flight) if log else 0
    return AuditPlan(run, config, epochs, tuple(sample), len(known), in_flight)


def short_rows(rows: list[TrialRow]) -> dict[str, TrialRow]:
    """The first completed trial of each architecture, the longest where they differ; repeats left out."""
    found: dict[str, TrialRow] = {}
    for row in longest(rows):
        found.setdefault(row["architecture_id"], row)
    return found


def stratified(rows: list[TrialRow], count: int, *, seed: int) -> list[TrialRow]:
    """One row of each of `count` parts of equal size by reward, the best row for the best part; all if fewer.

    A uniform sample would hold few of the best, on which a search depends.
    """
    order = sorted(rows, key=lambda row: (-measured(row, "reward"), row["trial_id"]))
    if count >= len(order):
        return order
    # Parts of equal size in the order of rewards, and a random row of each but the first.
    rng = np.random.default_rng([seed, DERIVE_AUDIT_SEED])
    bounds = np.linspace(0, len(order), count + 1).round().astype(int)
    places = [int(rng.integers(low, high)) for low, high in pairwise(bounds.tolist())]
    return [order[i] for i in [0, *places[1:]][:count]]


def audit(
    plan: AuditPlan,
    *,
    execute: Execute,
    start: StartWorker | None = None,
    on_event: Callable[[SearchEvent | AuditTrained], None] = lambda event: None,
) -> ProxyAudit | None:
    """Trains what is planned, or was in flight, in the run's audit/ folder; compares all audited so far.

    A killed audit goes on where it stopped. `start` replaces the real worker in tests.

    Raises:
        ConfigError: the images are not those of the run.
        RunLockedError: another audit works on this run.
        SearchFailedError: several trainings in a row crashed, or the reward is at fault.
    """
    config = plan.config
    short = short_rows(recorded_trials(plan.run))
    if start is None:
        check_own_ops(config, plan.run)
        images = driver_images(config)
        check_same_data(record_of(config.data.source, images), plan.run, begun="search")
        setup = shared_setup(
            config,
            images,
            decided=decided_precision(config, short.values()),
            kernels=decided_kernels(short.values()),
        )
        start = partial(start_worker, setup=setup)
    new = not is_run(plan.folder)
    with RunStore(plan.folder) as store, removed_if_never_begun(store, new=new):
        environment = describe_environment()
        number = _write_search(plan, store, environment)
        record = RunRecord(
            config,
            store,
            environment_id=environment.environment_id,
            workers_file=workers_file(number),
            on_row=lambda row: on_event(AuditTrained(short[row["architecture_id"]], row)),
            place=f" of {plan.folder}",
        )
        loop = SearchLoop(
            AuditQueue(plan, store),
            record,
            partial(audit_trial, config, store, short),
            checkpoints=KeptCheckpoints(None, config.data, is_own=False, continuable=None),
            on_event=on_event,
            stop=StopRequest(),
            trained="trainings",
        )
        with views_at_the_end(store):
            for event in execute(start, loop.trials()):
                loop.handle(event)
    return proxy_audit(read_trials(plan.run), read_trials(plan.folder))


def _write_search(plan: AuditPlan, store: RunStore, environment: Environment) -> int:
    """The files that make audit/ a run directory: configuration and environment; this driver's number."""
    count = plan.recorded + len(plan.sample)
    recipe = replace(plan.config.recipe, epochs=plan.epochs)
    config = replace(plan.config, recipe=recipe, baseline=0, finalists=None, budget=Budget(trials=count))
    header = f"nas audit {plan.run} --trials {count} --epochs {plan.epochs}"
    store.record_identity(yaml_text(config, header=header))
    return record_environment(store, environment)


class AuditQueue:
    """The queue of an audit: what was in flight, then the sample, each trained once."""

    def __init__(self, plan: AuditPlan, store: RunStore) -> None:
        self._plan = plan
        self._in_flight = InFlight()
        self._next_trial_id = store.next_trial_id
        for row in store.in_flight():
            self._in_flight.add(ask_from_row(row), attempt=store.next_attempt(row["trial_id"]))

    def instructions(self) -> Iterator[Instruction]:
        """See Queue."""
        sample = iter(self._plan.sample)
        while True:
            if run := self._in_flight.next_run():
                yield run
            elif (row := next(sample, None)) is not None:
                ask = Ask(
                    trial_id=self._next_trial_id,
                    choices=tuple(row["choices"]),
                    epochs=self._plan.epochs,
                    purpose="audit",
                )
                yield RecordAsk(ask)
                self._next_trial_id += 1
                self._in_flight.add(ask)
            elif self._in_flight:
                yield Wait()
            else:
                return

    def due(self) -> Iterator[Answer]:
        """See Queue: no training of an audit answers another."""
        return iter(())

    def attempt_of(self, trial_id: int) -> int | None:
        """See Queue."""
        return self._in_flight.attempt_of(trial_id)

    def run_again(self, trial_id: int) -> int:
        """See Queue."""
        return self._in_flight.run_again(trial_id)

    def ended(self, trial_id: int, outcome: Outcome | None, *, seconds: float) -> None:
        """See Queue."""
        self._in_flight.remove(trial_id)


def audit_trial(
    config: SearchConfig, store: RunStore, short: Mapping[str, TrialRow], ask: Ask, attempt: int
) -> Trial:
    """The longer training of an architecture; its step time is the short trial's."""
    asked = store.asks[ask.trial_id]
    return Trial(
        trial_id=ask.trial_id,
        choices=ask.choices,
        architecture=config.space.decode(ask.choices),
        recipe=config.recipe,
        epochs=ask.epochs,
        seed=asked["seed"],
        attempt=attempt,
        timing=config.timing,
        step_time=step_time_from_row(short[asked["architecture_id"]]),
        needs_inference_time=needs_inference_time(config),
        objective=config.objective,
    )
