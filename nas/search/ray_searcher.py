"""The project's strategies as a search algorithm of Ray Tune, for anybody's trainable.

searcher = StrategySearcher({"width": [32, 64, 128], "depth": [1, 2, 3]}, "evolution", metric="accuracy")
tune.Tuner(train, tune_config=tune.TuneConfig(search_alg=searcher, num_samples=100, max_concurrent_trials=4))
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from ray.tune.search import Searcher

from nas.strategies.strategy import Strategy
from nas.strategies.table import build_strategy
from search_spaces.choices.choice_space import ChoiceSpace
from search_spaces.settings.json_text import json_value
from trials.log.durable_files import DurableFiles
from trials.trial import Ask, Outcome


class AskEntry(TypedDict):
    """A proposal, as it is saved."""

    kind: Literal["ask"]
    trial_id: int
    choices: list[int]
    aux: dict[str, Any]


class TellEntry(TypedDict):
    """The end of a trial, as it is saved; no reward of one that failed."""

    kind: Literal["tell"]
    trial_id: int
    reward: float | None


class StrategySearcher(Searcher):
    """Asks a strategy for each trial of Tune and tells it the last reported `metric`.

    A trial that failed is withdrawn: it says nothing about its configuration. What a strategy has learned is
    saved as the asks and tells themselves, in JSON, and replayed when Tune restores it.

    Args:
        options: the values of each parameter; there are no continuous ones.
        strategy: a name in STRATEGIES, with its `settings`.
        metric: what to make large (`mode` max) or small (min).

    Raises:
        ValueError: no options, or what `build_strategy` refuses.
    """

    def __init__(
        self,
        options: Mapping[str, Sequence[Any]],
        strategy: str = "evolution",
        *,
        metric: str,
        mode: Literal["max", "min"] = "max",
        seed: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(metric=metric, mode=mode)
        if not options or any(not values for values in options.values()):
            raise ValueError("options: at least one value for each of one or more parameters expected")
        self._options = {name: list(values) for name, values in options.items()}
        self._space = ChoiceSpace([len(values) for values in self._options.values()])
        self._build = lambda: build_strategy(strategy, self._space, seed=seed, epochs=1, settings=settings)
        self._strategy: Strategy = self._build()
        self._log: list[AskEntry | TellEntry] = []  # in their order
        self._asks: dict[str, Ask] = {}  # in flight, by Tune's trial

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The configuration of a new trial."""
        ask = self._strategy.ask(sum(entry["kind"] == "ask" for entry in self._log))
        self._record(
            {"kind": "ask", "trial_id": ask.trial_id, "choices": list(ask.choices), "aux": dict(ask.aux)}
        )
        self._asks[trial_id] = ask
        chosen = zip(self._options.items(), ask.choices, strict=True)
        return {name: values[choice] for (name, values), choice in chosen}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tells the strategy the trial's metric, or that it failed."""
        ask = self._asks.pop(trial_id)
        value = (result or {}).get(self.metric)
        reward = None
        if not error and isinstance(value, (int, float)) and math.isfinite(value):
            reward = float(value) if self.mode == "max" else -float(value)
        self._record({"kind": "tell", "trial_id": ask.trial_id, "reward": reward})

    def save(self, checkpoint_path: str) -> None:
        """Writes asks and tells."""
        DurableFiles().write(Path(checkpoint_path), json.dumps(self._log).encode())

    def restore(self, checkpoint_path: str) -> None:
        """Replays asks and tells. Trials that were in flight are withdrawn: Tune suggests them anew."""
        log: list[AskEntry | TellEntry] = json_value(Path(checkpoint_path).read_text())
        self._strategy, self._log, self._asks = self._build(), [], {}
        for entry in log:
            self._record(entry)
        told = {entry["trial_id"] for entry in log if entry["kind"] == "tell"}
        for trial_id in [e["trial_id"] for e in log if e["kind"] == "ask" and e["trial_id"] not in told]:
            self._record({"kind": "tell", "trial_id": trial_id, "reward": None})

    def __getstate__(self) -> dict[str, Any]:
        """The attributes that Tune pickles; asks and tells are kept by `save`."""
        return {name: value for name, value in vars(self).items() if name not in ("_build", "_strategy")}

    def _record(self, entry: AskEntry | TellEntry) -> None:
        self._log.append(entry)
        if entry["kind"] == "ask":
            self._strategy.asked(_ask(entry))
            return
        asks = (e for e in self._log if e["kind"] == "ask")
        ask = _ask(next(asked for asked in asks if asked["trial_id"] == entry["trial_id"]))
        if entry["reward"] is None:
            self._strategy.withdrawn(ask)
        else:
            self._strategy.told(ask, _outcome(entry["reward"]))


def _ask(entry: AskEntry) -> Ask:
    return Ask(trial_id=entry["trial_id"], choices=tuple(entry["choices"]), epochs=1, aux=entry["aux"])


def _outcome(reward: float) -> Outcome:
    """The outcome of a trainable, which has neither step time nor parameters."""
    return Outcome(status="completed", reward=reward, accuracy=reward, step_time_ratio=1.0, params=1.0)
