"""The most that an architecture of a space may cost."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.networks.architecture import STRICT

COUNTED = ("params", "macs")  # known by counting, so that architectures beyond them are never proposed


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Limits:
    """Upper bounds; None is none. What is measured is measured in the trial, before it trains.

    MACs and inference time are at the trial's resolution, parameters include its classifier. Ratios are to
    the space's reference network.
    """

    params: int | None = Field(default=None, ge=1)
    macs: int | None = Field(default=None, ge=1)  # one image
    step_time_ratio: float | None = Field(default=None, gt=0)
    inference_time_ratio: float | None = Field(default=None, gt=0)
    inference_seconds: float | None = Field(default=None, gt=0)
    step_memory_bytes: int | None = Field(default=None, ge=1)  # that a training step takes

    def counted(self) -> dict[str, int]:
        """The limits on what counting tells, by name."""
        return {name: value for name, value in vars(self).items() if name in COUNTED and value is not None}

    def measured(self) -> dict[str, float]:
        """The limits on what a trial measures before it trains, by name."""
        return {
            name: value for name, value in vars(self).items() if name not in COUNTED and value is not None
        }
