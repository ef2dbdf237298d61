"""A family's figures as mappings, and its files: a YAML of each member with provenance, and the picture."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.numbers import short_count
from nas.scaling.compound import Member
from nas.scaling.family import Request, Scaled, scale
from search_spaces.settings.output_files import refuse_existing
from search_spaces.settings.yaml_files import ConfigError, write_yaml

FROM_BASE = ("run", "trial_id")  # of a searched base's own provenance; its accuracy is not the members'


def scale_into(
    folder: Path | None, request: Request, *, force: bool, console: Console
) -> tuple[Scaled, list[Path]]:
    """The family, and the files that were written: none without a folder.

    Raises:
        ConfigError: as `scale`; or the folder is none, or a file in it exists and `force` is not given.
    """
    if folder is None:
        return scale(request, console=console), []
    check_folder(folder)
    result = scale(request, console=console)
    return result, write_family(result, folder, force=force)


def family_figures(result: Scaled, files: list[Path]) -> dict[str, Any]:
    """The whole family as one mapping, for --json."""
    return {
        "base": {"source": result.request.source, **member_figures(result, result.base)},
        "members": [member_figures(result, member) for member in result.members],
        "device_name": result.device_name,
        "files": [str(path) for path in files],
        "notes": list(result.notes),
    }


def member_figures(result: Scaled, member: Member) -> dict[str, Any]:
    """A member as one mapping: its sizes, how it was made, and what was measured of it."""
    step, solution = result.step(member), result.solution(member)
    return {
        "name": member.name,
        "architecture_id": member.architecture.architecture_id,
        **_origin(member),
        "layers": member.layers,
        "params": member.params,
        "macs": member.macs,
        "macs_ratio": member.macs / result.base.macs,
        "num_classes": member.num_classes,
        "training_resolution": member.training_resolution,
        "inference_resolution": member.inference_resolution,
        "step_seconds": step.seconds if step else None,
        "step_time_ratio": step.ratio if step else None,
        "step_time_ratio_spread": step.spread if step else None,
        "step_time_ratio_predicted": solution.predicted_ratio if solution else None,
        "timing_flag": step.flag if step else None,
        "hours": solution.figures.get("hours") if solution else None,
        "budget": solution.budget.limits if solution else None,
        "binds": list(solution.binds) if solution else None,
    }


def _origin(member: Member) -> dict[str, Any]:
    formula, rules = member.formula, member.rules
    return {
        "phi": member.phi,
        "alpha": formula.alpha if formula else None,
        "beta": formula.beta if formula else None,
        "gamma": formula.gamma if formula else None,
        "like": member.like,
        "depth": member.coefficients.depth,
        "width": member.coefficients.width,
        "resolution_factor": member.coefficients.resolution,
        "rounding": rules.rounding,
        "heuristics": rules.heuristics,
        "ends": rules.ends,
        "late_layers": rules.late_layers,
    }


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

    stem = result.request.stem
    files = {folder / f"{stem}-{member.name}.yaml": member for member in result.members}
    picture = folder / f"{stem}-{_picture_name(result)}.png"
    refuse_existing(*files, picture, force=force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, member in files.items():
            architecture = replace(member.architecture, provenance=_provenance(result, member))
            write_yaml(architecture, path, header=_header(result, member, path))
        save_picture(result, picture)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from error
    return [*files, picture]


def _picture_name(result: Scaled) -> str:
    """Named after its members, so that families of several calls lie side by side in one folder."""
    if result.request.grid:
        return "grid"
    names = [member.name for member in result.members]
    return names[0] if len(names) == 1 else f"{names[0]}-to-{names[-1]}"


def _provenance(result: Scaled, member: Member) -> dict[str, Any]:
    """Where a member comes from; `resolution`, of inference, is what `nas describe` and `nas scale` read."""
    base = result.base.architecture
    own = base.provenance or {}
    figures = member_figures(result, member)
    kept = ("step_seconds", "step_time_ratio", "budget", "binds", "hours")
    known: dict[str, Any] = {
        "base": result.request.source,
        "base_architecture_id": base.architecture_id,
        **_origin(member),
        "num_classes": member.num_classes,
        "resolution": member.inference_resolution,
        "inference_resolution": member.inference_resolution,
        "training_resolution": member.training_resolution,
        "params": member.params,
        "macs": member.macs,
        **{name: figures[name] for name in kept},
        "device_name": result.device_name if figures["step_seconds"] else None,
        **{name: own[name] for name in FROM_BASE if name in own},
    }
    return {name: value for name, value in known.items() if value is not None}


def _header(result: Scaled, member: Member, path: Path) -> str:
    return (
        f"nas describe {path.name}\n"
        f"{result.request.stem} scaled by {how(member)}: {short_count(member.params)} parameters, "
        f"{short_count(member.macs)} MACs,\n"
        f"to be trained at {member.training_resolution} px and used at {member.inference_resolution} px"
    )


def how(member: Member) -> str:
    """By what a member was scaled, in a few words."""
    factors = member.coefficients
    by = f"depth {factors.depth:.4g}, width {factors.width:.4g}, resolution {factors.resolution:.4g}"
    if member.like is not None:
        return f"{by} (those of {member.like})"
    return by if member.phi is None else f"{by} (phi {member.phi:.6g})"
