"""The part of a search space's interface that counting and predicting its architectures needs."""

from collections.abc import Sequence
from typing import Protocol

from search_spaces.choices.choice_space import Choices
from search_spaces.choices.limits import Limits
from search_spaces.choices.stage_choices import StageChoices
from search_spaces.choices.stage_rows import StageRows
from search_spaces.networks.architecture import Architecture, Padding


class FactorizedSpace(Protocol):
    """The fields and decoding of a SearchSpace, for modules that `SearchSpace` itself imports."""

    @property
    def stem_channels(self) -> int:
        """The output channels of the stem."""
        ...

    @property
    def stem_stride(self) -> int:
        """The stride of the stem."""
        ...

    @property
    def stages(self) -> tuple[StageChoices, ...]:
        """The options of each stage."""
        ...

    @property
    def rows(self) -> tuple[StageRows, ...]:
        """The possible rows of each stage."""
        ...

    @property
    def padding(self) -> Padding:
        """The padding of all convolutions."""
        ...

    @property
    def reference(self) -> Architecture:
        """The reference network."""
        ...

    @property
    def limits(self) -> Limits:
        """The limits on an architecture's cost."""
        ...

    def decode(self, choices: Sequence[int]) -> Architecture:
        """The architecture that these choices build."""
        ...

    def split(self, choices: Sequence[int]) -> list[Choices]:
        """The choices, divided by stage."""
        ...
