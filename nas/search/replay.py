"""A search's queue and checkpoints: set up by its configuration, and rebuilt from the rows of its log."""

from nas.search.best_so_far import BestSoFar
from nas.search.config import SearchConfig
from nas.search.kept_checkpoints import KeptCheckpoints, driver_files
from nas.search.search_reward import SearchReward
from nas.search.strategy_guard import GuardedStrategy
from nas.search.trial_builder import TrialBuilder
from nas.search.trial_queue import TrialQueue
from nas.search.warm_start import warm_start
from nas.strategies.strategy import promoting
from search_spaces.choices.choice_space import ChoiceSpace
from trials.log.rows import ask_from_row, device_seconds, outcome_of
from trials.log.store import RecordedAsk, RunStore


def queue_of(
    config: SearchConfig, space: ChoiceSpace, store: RunStore, *, data_digest: str = ""
) -> tuple[TrialQueue, KeptCheckpoints]:
    """The queue of a search that has not begun, warm-started where asked for; and its checkpoints."""
    strategy = config.strategy.build(space, seed=config.seed, epochs=config.recipe.epochs)
    halving = promoting(strategy)
    queue = TrialQueue(
        space,
        GuardedStrategy(strategy, space, name=config.strategy.name, run=store.folder),
        seed=config.seed,
        epochs=config.recipe.epochs,
        baseline=config.baseline,
        budget=config.budget,
        initial=[config.space.encode(architecture) for architecture in config.initial],
        fixed_lag=None if config.order == "arrival" else config.order.fixed_lag,
        finalists=config.finalists,
        bound_stopping=config.bound_stopping is not None,
        first_epochs=halving.rungs[0] if halving else None,
    )
    for ask, outcome in warm_start(config, store):
        queue.warm(ask, outcome)
    folder, files = driver_files(config, store)
    checkpoints = KeptCheckpoints(
        folder,
        config.data,
        files=files,
        is_own=config.checkpoint_dir is None,
        continuable=halving.continuable if halving else None,
        data_digest=data_digest,
        is_overtaken=store.is_overtaken,
    )
    return queue, checkpoints


def replay(queue: TrialQueue, store: RunStore, reward: SearchReward, best: BestSoFar) -> None:
    """Feeds the recorded asks and rows to the queue, in the order in which they were recorded.

    Raises:
        SearchFailedError: the reward of a row is at fault, or the strategy.
    """
    for recorded in store.history():
        ask = ask_from_row(recorded.row)
        if isinstance(recorded, RecordedAsk):
            queue.asked(ask)
        else:
            rewarded = reward.rewarded(recorded.row)
            queue.told(ask, outcome_of(rewarded), seconds=device_seconds(rewarded))
            best.compare(rewarded)
    # Asks without a row were in flight when the last driver ended.
    for row in store.in_flight():
        queue.resume(ask_from_row(row), attempt=store.next_attempt(row["trial_id"]))


def keep_continuable(
    config: SearchConfig,
    store: RunStore,
    queue: TrialQueue,
    build: TrialBuilder,
    checkpoints: KeptCheckpoints,
) -> None:
    """Finds the checkpoints that an earlier driver kept for longer trials, and removes those of no use."""
    if not config.rungs:
        return
    for trial_id, asked in store.asks.items():
        row = store.trials.get(trial_id)
        if row is None or (row["status"] == "completed" and row["epochs"] < config.recipe.epochs):
            checkpoints.begun(build(ask_from_row(asked), 1))
    checkpoints.prune(lambda trial_id: queue.attempt_of(trial_id) is not None)
