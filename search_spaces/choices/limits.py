"""Upper limits on the cost of an architecture in a search."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.settings.strict import STRICT

COUNTED = ("params", "macs")  # counted without training, so a search never proposes architectures beyond them


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Limits:
    """Upper limits on an architecture's cost; None is no limit.

    Parameters (with the classifier) and MACs are counted before an architecture is proposed. Times and memory
    are measured in the trial, before it trains. MACs and inference time are at the trial's resolution. Ratios
    are to the space's reference network.
    """

    params: int | None = Field(default=None, ge=1)
    macs: int | None = Field(default=None, ge=1)  # per image
    step_time_ratio: float | None = Field(default=None, gt=0)
    inference_time_ratio: float | None = Field(default=None, gt=0)
    inference_seconds: float | None = Field(default=None, gt=0, description="seconds")
    step_memory_bytes: int | None = Field(default=None, ge=1)  # peak memory of a training step

    def counted(self) -> dict[str, int]:
        """The limits on parameters and MACs, by name."""
        return {name: value for name, value in vars(self).items() if name in COUNTED and value is not None}

    def measured(self) -> dict[str, float]:
        """The limits on quantities that a trial measures before it trains, by name."""
        return {
            name: value for name, value in vars(self).items() if name not in COUNTED and value is not None
        }
