"""Factors of compound scaling: on layers, channels and pixels, given or by the formula.

Importing it takes no torch, so that the command line reads the formula's defaults here.
"""

import math
from dataclasses import dataclass

from search_spaces.settings.config_error import ConfigError

MAX_FACTOR = 16.0  # of depth, width or resolution; what is above is a number of layers or pixels by mistake


@dataclass(frozen=True)
class Coefficients:
    """Factors on a base's layers, channels and pixels."""

    depth: float = 1.0
    width: float = 1.0
    resolution: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and 0 < value <= MAX_FACTOR):
                raise ConfigError(
                    f"--{name}: {value:g} is no factor above 0 and up to {MAX_FACTOR:g}; depth, width and "
                    "resolution multiply the base's layers, channels and pixels"
                )


UNSCALED = Coefficients()


def coefficients_of(
    depth: float | None, width: float | None, resolution: float | None
) -> Coefficients | None:
    """The given factors, the others 1; None where none is given."""
    given = {"depth": depth, "width": width, "resolution": resolution}
    chosen = {name: value for name, value in given.items() if value is not None}
    return Coefficients(**chosen) if chosen else None


@dataclass(frozen=True)
class Formula:
    """Depth alpha^phi, width beta^phi, resolution gamma^phi (EfficientNet, equation 3).

    The defaults are the paper's, a grid search's on B0: alpha * beta^2 * gamma^2 = 1.92, so that MACs about
    double with each step of phi. The published networks' coefficients do not follow from it (see PUBLISHED).
    """

    alpha: float = 1.2
    beta: float = 1.1
    gamma: float = 1.15

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and 1 <= value <= 4):
                raise ConfigError(f"--{name}: {value:g} is out of range; 1 to 4 are possible")
        if self.alpha == self.beta == self.gamma == 1:
            raise ConfigError("alpha, beta and gamma are all 1, which scales nothing; one must be above 1")

    @property
    def macs_factor(self) -> float:
        """Factor by which MACs grow with each step of phi, but for rounding."""
        return self.alpha * self.beta**2 * self.gamma**2

    def at(self, phi: float) -> Coefficients:
        """The three factors; phi below 0 makes a base smaller."""
        try:
            return Coefficients(self.alpha**phi, self.beta**phi, self.gamma**phi)
        except (ConfigError, OverflowError, TypeError):
            raise ConfigError(
                f"--phi {phi:g} with alpha {self.alpha:g}, beta {self.beta:g} and gamma {self.gamma:g}: a "
                f"factor is not above 0 and up to {MAX_FACTOR:g}; take a phi nearer to 0"
            ) from None


PAPER = Formula()
