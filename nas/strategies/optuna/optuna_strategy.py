"""A strategy whose state is an Optuna study in memory, rebuilt from recorded asks and outcomes exactly."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.trial import Ask, Outcome

AUX = "optuna"  # key in an ask's aux of what its proposal wrote into the study
SHARED = "tpe:"  # prefix of what TPE writes for other processes: the choices once more
REPAIRS = 20  # attempts to bring a draw within the limits, each closer to an architecture that is
MakeSampler = Callable[[int], Any]  # takes a seed
Values = Callable[[Outcome], Sequence[float]]


@dataclass(frozen=True)
class _Event:
    """A change of the study: an ask, or the end of one by its trial id; without values, it crashed."""

    kind: Literal["asked", "told"]
    trial_id: int
    choices: Choices = ()
    aux: Any = None
    values: tuple[float, ...] | None = None


class OptunaStrategy:
    """Asks a sampler that is made anew for each ask; only recorded asks and outcomes last in the study.

    Optuna's `ask` adds a running trial. That is kept if this ask is recorded next, as in a search; if not,
    the study is rebuilt from what was recorded. What a sampler wrote into the study (a trial's attributes,
    the parents of a generation) goes into the ask's aux, from where a replay restores it.

    Args:
        make_sampler: makes the sampler of one ask from a seed, which is derived from (search, trial id).
        directions: "maximize" or "minimize" for each value.
        values: takes an outcome's values, all finite.
        foreign: attributes given to trials that this strategy did not propose.
    """

    def __init__(
        self,
        space: ChoiceSpace,
        seed: int,
        *,
        epochs: int,
        make_sampler: MakeSampler,
        directions: Sequence[str],
        values: Values,
        foreign: dict[str, Any],
    ) -> None:
        self._space, self._seed, self._epochs = space, seed, epochs
        self._make_sampler = make_sampler
        self._directions, self._values, self._foreign = list(directions), values, foreign
        self._distributions = {
            str(i): CategoricalDistribution(range(count)) for i, count in enumerate(space.num_options)
        }
        self._events: list[_Event] = []
        self._tentative: Ask | None = None  # its running trial is in the study, but not in the record
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # else it prints a line for every trial
        self._begin()

    def _begin(self) -> None:
        self._study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), directions=self._directions
        )
        self._numbers: dict[int, int] = {}  # the study's trial numbers by ours
        self._tentative = None

    def _rebuild(self) -> None:
        """Replays what was recorded into an empty study."""
        self._begin()
        for event in self._events:
            self._apply(event)

    # ------------------------------------------------------------------ asking

    def ask(self, trial_id: int) -> Ask:
        """A draw of the sampler, brought within the limits; the same until something is recorded."""
        # The study must hold what was recorded, and nothing of an ask that was not.
        if self._tentative is not None:
            if self._tentative.trial_id == trial_id:
                return self._tentative
            self._rebuild()
        # Draw with a sampler that is seeded for this trial alone.
        words = np.random.SeedSequence([self._seed, trial_id]).generate_state(1)
        parents = self._parents()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = self._make_sampler(int(words[0]))
            trial = self._study.ask(self._distributions)
        drawn = tuple(int(trial.params[name]) for name in self._distributions)
        # Note what the sampler wrote into the study, for a replay.
        attributes = {
            key: value
            for key, value in self._trials()[trial.number].system_attrs.items()
            if not key.startswith(SHARED)
        }
        aux: dict[str, Any] = {"attributes": attributes} if attributes else {}
        if made := {key: ids for key, ids in self._parents().items() if key not in parents}:
            aux["parents"] = made
        # Propose the draw's representative, or one within the limits; the study knows the trial as drawn.
        choices = self._space.canonical(drawn)
        if not self._space.is_allowed(choices):
            drawn = choices = self._repaired(drawn, np.random.default_rng([self._seed, trial_id]))
        if drawn != choices:
            aux["drawn"] = list(drawn)
        self._tentative = Ask(trial_id=trial_id, choices=choices, epochs=self._epochs, aux={AUX: aux})
        return self._tentative

    def _repaired(self, drawn: Choices, rng: np.random.Generator) -> Choices:
        """An allowed architecture between the draw and a uniform one, as close to the draw as is found."""
        allowed = self._space.sample(rng)
        for i in range(1, REPAIRS):
            takes = rng.random(len(drawn)) < i / REPAIRS  # more and more decisions are the uniform one's
            mixed = np.where(takes, allowed, drawn).tolist()
            choices = self._space.canonical(tuple(mixed))
            if self._space.is_allowed(choices):
                return choices
        return allowed

    def _trials(self) -> list[Any]:
        trials: list[Any] = self._study.get_trials(deepcopy=False)
        return trials

    def _parents(self) -> dict[str, list[int]]:
        """The parents of each generation, by the genetic samplers; no public name leads to them."""
        found: dict[str, list[int]] = self._study._storage.get_study_system_attrs(self._study._study_id)
        return dict(found)

    # ------------------------------------------------------------------ recorded

    def asked(self, ask: Ask) -> None:
        """Adds it to the study as a running trial, also if another strategy proposed it."""
        aux = ask.aux.get(AUX) if isinstance(ask.aux.get(AUX), dict) else None
        self._events.append(_Event("asked", ask.trial_id, choices=ask.choices, aux=aux))
        kept = self._tentative
        self._tentative = None
        if kept is None:
            self._apply(self._events[-1])
        elif self._is_in_study(kept, ask):
            self._numbers[ask.trial_id] = len(self._trials()) - 1
        else:  # another ask's running trial, or another draw, is in the study
            self._rebuild()

    def _is_in_study(self, kept: Ask, ask: Ask) -> bool:
        """True if the running trial is this ask's, with the choices that the record will tell."""
        if (kept.trial_id, kept.choices, kept.aux.get(AUX)) != (ask.trial_id, ask.choices, ask.aux.get(AUX)):
            return False
        running = self._trials()[-1].params
        drawn = kept.aux[AUX].get("drawn", kept.choices)
        return tuple(running[name] for name in self._distributions) == tuple(drawn)

    def told(self, ask: Ask, outcome: Outcome) -> None:
        """Tells the study the values, also of bad outcomes: else the sampler would propose them again."""
        self._end(_Event("told", ask.trial_id, values=tuple(self._values(outcome))))

    def withdrawn(self, ask: Ask) -> None:
        """Marks the trial as failed: a crash has no values."""
        self._end(_Event("told", ask.trial_id))

    def _end(self, event: _Event) -> None:
        """Records the end of a trial."""
        if self._tentative is not None:
            self._rebuild()
        self._events.append(event)
        self._apply(event)

    def _apply(self, event: _Event) -> None:
        if event.kind == "asked":
            self._add(event)
        elif event.values is None:
            self._study.tell(self._numbers[event.trial_id], state=TrialState.FAIL)
        else:
            self._study.tell(self._numbers[event.trial_id], list(event.values))

    def _add(self, event: _Event) -> None:
        """Adds a running trial, with what its proposal wrote into the study."""
        aux = event.aux or {"attributes": self._foreign}
        for key, ids in aux.get("parents", {}).items():
            self._study._storage.set_study_system_attr(self._study._study_id, key, ids)
        drawn = aux.get("drawn", event.choices)
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=dict(zip(self._distributions, drawn, strict=True)),
                distributions=self._distributions,
                system_attrs=aux.get("attributes", {}),
            )
        )
        self._numbers[event.trial_id] = len(self._trials()) - 1
