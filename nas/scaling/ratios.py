"""A network scaled as one published network is to another: by the ratio of the two in each stage."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.rounding import Rule, round_channels, round_layers
from search_spaces.settings.config_error import ConfigError

Placed = tuple[int, Stage]  # a stage, and its place in the network's list


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """Ratios of a published network, the target, to another one, the reference, in each stage.

    Both have the same strides, as far as both have stages: V2-M and V2-L have a seventh one, which V2-S has
    not. Ratios are fractions, so that the reference itself becomes the target exactly.
    """

    reference_name: str
    target_name: str
    reference: Architecture
    target: Architecture

    def scale(self, base: Architecture, *, rounding: Rule, scale_ends: bool) -> Architecture:
        """The base with each stage's layers and channels multiplied, rounded; stem and head, too, if asked.

        Raises:
            ConfigError: a stage of the base has no counterpart, or another stride than that.
            ValueError: channels or layers beyond an architecture's.
        """
        self._check(base)
        own, before, after = present(base), present(self.reference), present(self.target)
        stages = list(base.stages)
        # Step 1: stages that all three have.
        for (place, stage), (_, one), (_, other) in zip(own, before, after, strict=False):
            layers = Fraction(other.layers, one.layers) * stage.layers
            stages[place] = replace(
                stage,
                layers=round_layers(float(layers)),
                channels=_channels(stage.channels, other.channels, one.channels, rounding),
            )
        # Step 2: the last stage, where the target has one more than the reference.
        if len(after) > len(before):
            self._add_last(stages, own, rounding)
        # Step 3: stages that only the reference has are left out.
        left_out = {place for place, _ in own[len(after) :]}
        stages = [stage for place, stage in enumerate(stages) if place not in left_out]
        result = replace(base.without_provenance(), stages=tuple(stages))
        if not scale_ends:
            return result
        stems = (base.stem_channels, self.target.stem_channels, self.reference.stem_channels)
        heads = (base.head_channels, self.target.head_channels, self.reference.head_channels)
        return replace(
            result, stem_channels=_channels(*stems, rounding), head_channels=_channels(*heads, rounding)
        )

    def notes(self, base: Architecture) -> Iterator[str]:
        """Sentences on stages that the reference or the target has not."""
        own, before, after = present(base), present(self.reference), present(self.target)
        if len(own) > len(before):
            yield (
                f"stage {own[-1][0] + 1} has no counterpart in {self.reference_name}: it grows as the stage "
                f"before it, to at least the layers that {self.target_name}'s has, in proportion"
            )
        elif len(after) > len(before):
            yield f"a last stage of stride 1 is added: {self.target_name} has one, {self.reference_name} none"
        elif len(after) < len(before):
            yield f"stage {own[-1][0] + 1} is left out, as {self.target_name} has none there"

    def _add_last(self, stages: list[Stage], own: list[Placed], rounding: Rule) -> None:
        """Adds the target's last stage, or lets the base's own one grow to as many layers at least."""
        before, after = present(self.reference), present(self.target)
        (place, last), (_, one), (_, new) = own[len(before) - 1], before[-1], after[-1]
        layers = round_layers(float(Fraction(new.layers, one.layers) * last.layers))
        if len(own) > len(before):
            # The base's own: it grows as the stage before it.
            there, stage = own[-1]
            other = after[len(before) - 1][1]
            grown = round_layers(float(Fraction(other.layers, one.layers) * stage.layers))
            channels = _channels(stage.channels, other.channels, one.channels, rounding)
            stages[there] = replace(stage, layers=max(layers, grown), channels=channels)
            return
        channels = _channels(last.channels, new.channels, one.channels, rounding)
        # A stage that the base lists as absent gives its place.
        following = place + 1
        if following < len(stages):
            del stages[following]
        stages.insert(following, replace(last, stride=1, layers=layers, channels=channels))

    def _check(self, base: Architecture) -> None:
        own, before, after = present(base), present(self.reference), present(self.target)
        longest, name = max((before, self.reference_name), (after, self.target_name), key=lambda x: len(x[0]))
        for number, (place, stage) in enumerate(own):
            if number >= len(longest):
                self._refuse(
                    f"stage {place + 1} of this network has no counterpart: the two have {len(before)} and "
                    f"{len(after)} stages"
                )
            if stage.stride != longest[number][1].stride:
                self._refuse(
                    f"stage {place + 1} of this network has stride {stage.stride}, and stage {number + 1} of "
                    f"{name} {longest[number][1].stride}"
                )
        if len(own) < len(before):
            self._refuse(
                f"this network has {len(own)} stages, and nothing in the place of stage {len(own) + 1} of "
                f"{self.reference_name}"
            )

    def _refuse(self, reason: str) -> None:
        raise ConfigError(
            f"--like {self.target_name}: its ratios to {self.reference_name} are stage by stage, and "
            f"{reason}; scale by --phi, or by --depth and --width (--late-layers: more layers in late "
            "stages), or say with --from which other published network this one stands for"
        )


def present(architecture: Architecture) -> list[Placed]:
    """The stages that have layers, with their places."""
    return [(place, stage) for place, stage in enumerate(architecture.stages) if stage.layers]


def _channels(own: int, other: int, one: int, rounding: Rule) -> int:
    """Channels times other / one, rounded; what does not grow is not rounded either."""
    return own if other == one else round_channels(float(Fraction(other, one) * own), rounding)
