"""Files of a family: a YAML of each member with its provenance, and the picture."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from glob import escape
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.numbers import short_count
from nas.scaling.compound import Member
from nas.scaling.family import Request, Scaled, scale
from nas.scaling.figures import member_figures
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.output_files import refuse_existing, writing
from search_spaces.settings.yaml_files import write_yaml

FROM_BASE = ("run", "trial_id")  # of a searched base's own provenance; its accuracy is not the members'
# Figures that say how a member was made.
ORIGIN = (
    "phi", "alpha", "beta", "gamma", "like", "like_from", "depth", "width", "resolution_factor", "rounding",
    "heuristics", "ends", "late_layers",
)  # fmt: skip


def scale_into(
    folder: Path | None, request: Request, *, force: bool, console: Console
) -> tuple[Scaled, list[Path]]:
    """The family, and the files that were written: none without a folder.

    Raises:
        ConfigError: as `scale`; or the folder is none, or a file in it exists and `force` is not given,
            which is found before anything is measured.
    """
    if folder is None:
        return scale(request, console=console), []
    check_folder(folder)
    on_known = partial(check_files, request=request, folder=folder, force=force)
    result = scale(request, console=console, on_known=on_known)
    return result, write_family(result, folder, force=force)


def check_files(members: Sequence[Member], *, request: Request, folder: Path, force: bool) -> None:
    """Refuses to replace files of a family, of which these members are known.

    Raises:
        ConfigError: a file of one of them exists, or of one that a budget may yet find.
    """
    if not request.needs_step_time:
        refuse_existing(*_paths(request, members, folder), _picture(request, members, folder), force=force)
        return
    refuse_existing(*_paths(request, members, folder), force=force)
    found = sorted(folder.glob(f"{escape(request.stem)}-phi*.yaml"))
    if found and not force:
        raise ConfigError(
            f"{found[0]}: this file exists, and what is found for the budget may get its name, by its phi; "
            "choose another -o, or replace it with --force"
        )


def check_folder(folder: Path) -> None:
    """Refuses what cannot be a folder before anything is measured.

    Raises:
        ConfigError: it, or something above it, is a file.
    """
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{folder}: {path} is a file; choose a folder with -o")


def write_family(result: Scaled, folder: Path, *, force: bool) -> list[Path]:
    """Writes `BASE-MEMBER.yaml` for each member, and a picture of the family; returns what was written.

    Raises:
        ConfigError: a file exists and `force` is not given, or the folder cannot be written to.
    """
    from nas.scaling.picture import save_picture

    files = _paths(result.request, result.members, folder)
    picture = _picture(result.request, result.members, folder)
    refuse_existing(*files, picture, force=force)
    for path, member in files.items():
        architecture = replace(member.architecture, provenance=_provenance(result, member))
        with writing(path):
            write_yaml(architecture, path, header=_header(result, member, path))
    with writing(picture):
        save_picture(result, picture)
    return [*files, picture]


def _paths(request: Request, members: Sequence[Member], folder: Path) -> dict[Path, Member]:
    """The file of each member."""
    return {folder / f"{request.stem}-{member.name}.yaml": member for member in members}


def _picture(request: Request, members: Sequence[Member], folder: Path) -> Path:
    """Named after its members, so that families of several calls lie side by side in one folder."""
    names = [member.name for member in members]
    name = names[0] if len(names) == 1 else f"{names[0]}-to-{names[-1]}"
    return folder / f"{request.stem}-{'grid' if request.grid else name}.png"


def _provenance(result: Scaled, member: Member) -> dict[str, Any]:
    """Provenance of a member's file; `resolution`, of inference, is what nas describe and nas scale read."""
    base = result.base.architecture
    own, figures = base.provenance or {}, member_figures(result, member)
    known: dict[str, Any] = {
        "base": result.request.source,
        "base_architecture_id": base.architecture_id,
        **{name: getattr(figures, name) for name in ORIGIN},
        "num_classes": member.num_classes,
        "resolution": member.inference_resolution,
        "inference_resolution": member.inference_resolution,
        "training_resolution": member.training_resolution,
        "params": figures.params,
        "macs": figures.macs,
        "step_seconds": figures.step_seconds,
        "step_time_ratio": figures.step_time_ratio,
        "budget": figures.budget,
        "binds": None if figures.binds is None else list(figures.binds),
        "hours": figures.hours,
        "device_name": result.device_name if figures.step_seconds else None,
        **{name: own[name] for name in FROM_BASE if name in own},
    }
    return {name: value for name, value in known.items() if value is not None}


def _header(result: Scaled, member: Member, path: Path) -> str:
    sizes = (
        f"--set recipe.resolution={member.training_resolution} "
        f"--set recipe.evaluation_resolution={member.inference_resolution}"
    )
    return (
        f"nas describe {path.name}\n"
        f"nas train {path.name} --data IMAGES {sizes}\n"
        f"{result.request.stem} scaled by {how(member)}: {short_count(member.params)} parameters, "
        f"{short_count(member.macs)} MACs,\n"
        f"to be trained at {member.training_resolution} px and used at {member.inference_resolution} px"
    )


def how(member: Member) -> str:
    """Factors of a member, and where they come from, in a few words."""
    factors = member.coefficients
    if factors is None:
        return f"the ratios of {member.like} to {member.like_from}, stage by stage"
    by = f"depth {factors.depth:.4g}, width {factors.width:.4g}, resolution {factors.resolution:.4g}"
    if member.like is not None:
        return f"{by} (those of {member.like})"
    return by if member.phi is None else f"{by} (phi {member.phi:.6g})"
