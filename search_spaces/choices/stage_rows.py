"""The distinct rows that one stage of a space may become, numbered without listing them."""

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, product

import numpy as np

from search_spaces.choices.choice_space import Choices
from search_spaces.choices.stage_choices import DECIDED, NOT_OF_ALL, StageChoices
from search_spaces.networks.architecture import Stage
from search_spaces.networks.ops import Built, Op, built_as, op_facts

FORM_FIELDS = ("op", "kernel_size", "start_kernel_size")


@dataclass(frozen=True)
class Form:
    """A choice of op and kernel sizes, and the options that it leaves to each field.

    Attributes:
        op: as chosen.
        options: for each field of the rows the indices of its options that build different stages; one index
            of a field that the op does not take.
        built: the op and the kernel sizes that are built.
    """

    op: Op
    options: tuple[Choices, ...]
    built: Built

    @property
    def sizes(self) -> Choices:
        """The number of options of each field."""
        return tuple(map(len, self.options))

    @property
    def count(self) -> int:
        """The number of rows."""
        return math.prod(self.sizes)

    def row(self, number: int) -> Choices:
        """The row with this number, 0 to `count` - 1; the last field changes fastest."""
        indices = np.unravel_index(number, self.sizes) if self.options else ()
        return tuple(options[i] for options, i in zip(self.options, indices, strict=True))

    def nearest(self, choices: Choices) -> Choices:
        """The row that builds what these choices build, which differ in what makes no difference."""
        pairs = zip(self.options, choices, strict=True)
        return tuple(options[0] if len(options) == 1 else choice for options, choice in pairs)


class StageRows:
    """The rows of a StageChoices: one for each stage that it can become, and one for the absent stage.

    A row is given by `choices`: option indices of the fields with several options, in the order of DECIDED.
    Combinations that build the same stage have one row: all of 0 layers, those that differ in a field that
    their op does not take, and a UIB that is another op's block. Their row is one whose options say what is
    built, and the lexicographically first of these.
    """

    def __init__(self, offered: StageChoices) -> None:
        self.offered = offered
        self.fields = tuple(name for name in DECIDED if len(offered.options(name)) > 1)
        self.num_options: Choices = tuple(len(offered.options(name)) for name in self.fields)
        self.can_vanish = 0 in offered.layers  # layers are then a decision, because 0 alone is refused
        self._layers_at = self.fields.index("layers") if self.can_vanish else -1
        self._zero = offered.layers.index(0) if self.can_vanish else -1
        self._forms_at = [i for i, name in enumerate(self.fields) if name in FORM_FIELDS]
        self._form_of = self._all_forms()
        self.forms = tuple(dict.fromkeys(self._form_of.values()))
        self._ends = list(accumulate(form.count for form in self.forms))
        self._one_each = sum(form.count for form in self.forms) == math.prod(
            count - (i == self._layers_at) for i, count in enumerate(self.num_options)
        )
        self.count = self._ends[-1] + self.can_vanish
        self.stage = lru_cache(maxsize=1 << 16)(self._stage)
        self.row = lru_cache(maxsize=1 << 16)(self._row)

    @property
    def absent(self) -> Choices:
        """The row that represents the absent stage; only if `can_vanish`."""
        return tuple(self._zero if i == self._layers_at else 0 for i in range(len(self.fields)))

    def _row(self, number: int) -> Choices:
        """The row with this number, 0 to `count` - 1; the absent stage is the last."""
        if self.can_vanish and number == self.count - 1:
            return self.absent
        at = bisect_right(self._ends, number)
        return self.forms[at].row(number - (self._ends[at - 1] if at else 0))

    def rows(self) -> Iterator[Choices]:
        """All rows in the order of their numbers."""
        return (self._row(number) for number in range(self.count))

    def canonical(self, choices: Choices) -> Choices:
        """The row of these choices: the absent one where they have 0 layers."""
        if self.can_vanish and choices[self._layers_at] == self._zero:
            return self.absent
        if self._one_each:
            return choices
        return self._form_of[tuple(choices[i] for i in self._forms_at)].nearest(choices)

    def _stage(self, choices: Choices) -> Stage:
        """The stage of these choices.

        Raises:
            ValueError: an index is out of the range of its options.
        """
        chosen = {name: self.offered.options(name)[0] for name in DECIDED}
        for name, choice in zip(self.fields, choices, strict=True):
            options = self.offered.options(name)
            if not 0 <= choice < len(options):
                raise ValueError(f"choice {choice} for {name}: options are 0 to {len(options) - 1}")
            chosen[name] = options[choice]
        return self.offered.stage(**chosen)

    def _all_forms(self) -> dict[Choices, Form]:
        """The form of each choice of op and kernel sizes, by the indices of those that are decisions.

        Choices of equal stages have the same form.
        """
        found = {
            indices: self._form(indices)
            for indices in product(*(range(len(self.offered.options(name))) for name in FORM_FIELDS))
        }
        # Those whose options say what is built come first, so that they stand for the others.
        first: dict[tuple[object, ...], Form] = {}
        for form, _ in sorted(found.values(), key=lambda each: not each[1]):
            first.setdefault(self._identity(form), form)
        decisions = [i for i, name in enumerate(FORM_FIELDS) if name in self.fields]
        return {
            tuple(indices[i] for i in decisions): first[self._identity(form)]
            for indices, (form, _) in found.items()
        }

    def _form(self, indices: tuple[int, ...]) -> tuple[Form, bool]:
        """The form of these options of FORM_FIELDS; true if it is built with just these."""
        given = [self.offered.options(name)[i] for name, i in zip(FORM_FIELDS, indices, strict=True)]
        kernels = self.offered.kernels_of(*given)
        fixed = dict(zip(FORM_FIELDS, indices, strict=True))
        options: list[Choices] = []
        for name in self.fields:
            if name in fixed:
                options.append((fixed[name],))
            elif name == "layers":
                options.append(tuple(i for i, layers in enumerate(self.offered.layers) if layers))
            else:
                options.append(self._taken(name, given[0]))
        return Form(given[0], tuple(options), built_as(given[0], *kernels)), kernels == tuple(given[1:])

    def _taken(self, name: str, op: Op) -> Choices:
        """The indices of a field's options that differ with this op."""
        options = self.offered.options(name)
        if name in NOT_OF_ALL:
            taken, none, _ = NOT_OF_ALL[name]
            if not getattr(op_facts(op), taken):
                return (options.index(none) if none in options else 0,)
        return tuple(range(len(options)))

    def _identity(self, form: Form) -> tuple[object, ...]:
        """Equal for forms of equal stages."""
        ratios = self.offered.se_ratio
        if not op_facts(form.op).takes_squeeze:
            return (*form.built, (0.0,))
        return (*form.built, (ratios.get(form.op, 0.0),) if isinstance(ratios, dict) else ratios)
