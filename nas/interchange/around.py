"""A search space around one network, as a file: of a run, an architecture or another project's network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from analysis.numbers import counted
from nas.interchange.export_formats import read_source
from search_spaces.choices.around import space_around, space_text
from search_spaces.choices.described import read_described
from search_spaces.choices.limits import COUNTED
from search_spaces.choices.own_limits import DEFAULT_LIMITS
from search_spaces.choices.space import SearchSpace
from search_spaces.interchange.files import read_foreign
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION
from search_spaces.settings.output_files import refuse_existing, writing
from search_spaces.settings.sentences import one_line
from search_spaces.settings.setting_errors import refused_as


@dataclass(frozen=True)
class SpaceAround:
    """A space around a network, its file's text, and a search that can be started with it."""

    space: SearchSpace
    text: str
    said: str
    command: str


@dataclass(frozen=True)
class _Centre:
    """The network that a space is made around, with the numbers that its limits are counted with."""

    name: str
    architecture: Architecture
    num_classes: int
    resolution: int
    is_initial: bool  # nas search --init reads it under its name


def write_space_around(
    source: str,
    project: str | None = None,
    *,
    radius: int = 1,
    limits: Mapping[str, float] = DEFAULT_LIMITS,
    num_classes: int | None = None,
    resolution: int | None = None,
    output: Path | None = None,
    force: bool = False,
) -> SpaceAround:
    """The space around a network (`space_around`), also written to `output` if given.

    Args:
        source: a run (its winner), weights, an architecture's file, a published name; or with a `project` a
            file or a name of that project.
        num_classes, resolution: with which limits are counted; default: those of the source.

    Raises:
        ConfigError: there is no such network, a space cannot express it, nothing is within the limits, or
            `output` cannot be written.
    """
    refuse_existing(output, force=force)
    centre = _centre(source, project)
    num_classes, resolution = num_classes or centre.num_classes, resolution or centre.resolution
    with refused_as(source):
        space = space_around(
            centre.architecture,
            radius=radius,
            limits=limits,
            num_classes=num_classes,
            resolution=resolution,
        )
    command = _search_command(centre, limits, output)
    said = f"{_size(space)} around {one_line(centre.name)}, which it contains"
    text = space_text(
        space,
        header="\n".join(
            [
                f"{said[0].upper()}{said[1:]}.",
                f"  {command}",
                f"Either op, kernel sizes and expansion ratios within {counted(radius, 'step')}, up to "
                f"{counted(radius, 'layer')} fewer or more.",
                *_limits(space, limits, num_classes=num_classes, resolution=resolution),
            ]
        ),
    )
    if output is not None:
        with writing(output):
            output.write_text(text, encoding="utf-8")
    return SpaceAround(space, text, said, command)


def _centre(source: str, project: str | None) -> _Centre:
    if project is not None:
        architecture = read_foreign(project, source).architecture
        return _Centre(source, architecture, DEFAULT_CLASSES, DEFAULT_RESOLUTION, is_initial=False)
    if not Path(source).exists() and "://" not in source:
        read_described(source)  # says of a name that is not published which ones are
    found = read_source(source, trial=None)
    is_named = not Path(source).is_dir() and found.weights is None
    return _Centre(
        source, found.architecture, found.find_num_classes(), found.resolution, is_initial=is_named
    )


def _size(space: SearchSpace) -> str:
    distinct = space.num_architectures
    if distinct is None:
        return f"{space.size:,} choices"
    return f"{distinct:,} architectures"


def _search_command(centre: _Centre, limits: Mapping[str, float], output: Path | None) -> str:
    file = quote(str(output)) if output is not None else "FILE"
    words = f"nas search photos --set data.source=DATA --set space={file}"
    # The network itself is beyond limits that are below its own costs.
    if centre.is_initial and all(factor >= 1 for factor in limits.values()):
        words += f" --init {quote(centre.name)}"
    return one_line(words)


def _limits(
    space: SearchSpace, limits: Mapping[str, float], *, num_classes: int, resolution: int
) -> list[str]:
    """Comments on the limits: multiples of what, and when they act."""
    if not limits:
        return []
    conditions = {"params": f" (with {num_classes:,} classes)", "macs": f" (at {resolution} px)"}
    parts = [f"{name} {factor:g}{conditions.get(name, '')}" for name, factor in limits.items()]
    lines = [f"Limits, as multiples of its own: {', '.join(parts)}."]
    if set(limits) & set(COUNTED):
        lines.append("Those on params and macs are counted before anything is proposed.")
    if "step_time_ratio" in limits:
        lines.append(
            "Step time is measured before a trial trains; with --set step_time_table=TABLE, a file of "
            "nas measure --table, slower networks are not proposed."
        )
    return lines
