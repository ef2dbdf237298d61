"""The command nas export."""

from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from nas.commands.options import Force, FromRun, Json, License, LicenseLink, Onnx, Project, Trust
from nas.commands.output import json_text
from nas.screens.terminal import say

if TYPE_CHECKING:
    from search_spaces.networks.architecture import Padding


class ExportPadding(StrEnum):
    """Padding with which an architecture is written."""

    SAME = "same"
    SYMMETRIC = "symmetric"


class Format(StrEnum):
    """Format in which an architecture or a network is written."""

    YAML = "yaml"
    TIMM = Project.TIMM.value
    AUTOML = Project.AUTOML.value
    TORCHVISION = Project.TORCHVISION.value
    ONNX = "onnx"
    TORCH = "torch"
    CARD = "card"


WEIGHTS_BY_SUFFIX = {".onnx": Format.ONNX, ".safetensors": Format.TORCH, ".pt": Format.TORCH}


def export(
    source: Annotated[str, typer.Argument(help="A run; or a training, a weights file, an architecture.")],
    trial: Annotated[int | None, typer.Option(min=0, help="A run's trial (default: its winner).")] = None,
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="onnx and torch hold weights, card all of a training, the others an architecture.",
        ),
    ] = Format.YAML,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file, or a card's folder; default: standard output."),
    ] = None,
    force: Force = False,
    padding: Annotated[
        ExportPadding | None,
        typer.Option(help="Another padding, where a project needs it: equal parameters, other outputs."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Rank by step times that nas measure --run took on this device.")
    ] = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="The Pareto front of accuracy, step time and size.")
    ] = False,
    optuna: Annotated[
        str | None, typer.Option(help="All trials into a database instead: sqlite:///runs.db (dashboard).")
    ] = None,
    license_: License = None,
    license_link: LicenseLink = None,
    from_run: FromRun = None,
    onnx: Onnx = False,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Write a network or its architecture for here or for elsewhere, and prove what was written."""
    from trials.log.run_places import local_file

    source = local_file(source)
    of_card = any((license_ is not None, license_link is not None, from_run is not None, onnx))
    if of_card and format_ is not Format.CARD:
        raise typer.BadParameter("--license, --license-link, --from-run and --onnx go with --format card")
    if format_ is Format.CARD:
        if pareto or optuna is not None or any(each is not None for each in (trial, device, padding)):
            raise typer.BadParameter(
                "--format card takes a training; leave out --trial, --padding, --device, --pareto, --optuna"
            )
        from nas.commands.launch_hub import export_card

        export_card(
            Path(source), output, license_=license_, license_link=license_link, run=from_run, onnx=onnx,
            force=force, as_json=as_json,
        )  # fmt: skip
        return
    if optuna is not None:
        if (
            pareto
            or format_ is not Format.YAML
            or any(each is not None for each in (output, trial, device, padding))
        ):
            raise typer.BadParameter(
                "--optuna takes all trials; leave out --trial, --format, --padding, --device, --pareto, -o"
            )
        _export_study(Path(source), storage=optuna, force=force, as_json=as_json)
        return
    if padding is not None and (pareto or format_ not in [*Project]):
        names = ", ".join(Project)
        raise typer.BadParameter(f"--padding goes with --format of another project: {names}")
    if pareto:
        if output is None or trial is not None or device is not None or format_ is not Format.YAML:
            raise typer.BadParameter("--pareto needs -o FOLDER, and no --trial, --device and --format")
        _export_front(Path(source), folder=output, force=force, as_json=as_json)
        return
    if device is not None:
        if trial is not None:
            raise typer.BadParameter("--device chooses the trial; leave out --trial")
        trial = _best_on(Path(source), device)
    _export_one(
        source,
        format_,
        trial=trial,
        output=output,
        force=force,
        padding=None if padding is None else padding.value,
        as_json=as_json,
    )


def _export_one(
    source: str,
    format_: Format,
    *,
    trial: int | None,
    output: Path | None,
    force: bool,
    padding: "Padding | None",
    as_json: bool,
) -> None:
    from nas.commands.written import ExportedNetwork
    from nas.interchange.export_formats import export_source
    from search_spaces.settings.config_error import ConfigError

    meant = WEIGHTS_BY_SUFFIX.get(output.suffix) if output is not None else None
    if meant is not None and format_ is Format.YAML:
        raise ConfigError(f"-o {output}: the format is yaml; give --format {meant.value}, or -o FILE.yaml")
    exported = export_source(source, format_.value, trial=trial, output=output, force=force, padding=padding)
    if as_json:
        figures = ExportedNetwork(
            source=source, format=format_.value, file=str(output) if output else None,
            text=None if output else exported.text, proof=exported.proof, changed=exported.changed,
        )  # fmt: skip
        print(json_text(figures))
        return
    if output is None:
        print(exported.text, end="")
    else:
        follows = {Format.YAML: f"    next:  nas describe {quote(str(output))}"}.get(format_, "")
        say(f"{output}: {exported.proof}{follows}")
    if exported.changed is not None:
        say(exported.changed)


def _export_study(run: Path, *, storage: str, force: bool, as_json: bool) -> None:
    from nas.commands.written import ExportedStudy
    from nas.results.optuna_export import export_study

    name, count = export_study(run, storage=storage, force=force)
    if as_json:
        print(json_text(ExportedStudy(source=str(run), storage=storage, study=name, trials=count)))
        return
    print(f"{count:,} trials as the study {name}    next:  optuna-dashboard {storage}")


def _export_front(run: Path, *, folder: Path, force: bool, as_json: bool) -> None:
    from nas.commands.written import ExportedFront
    from nas.results.export import export_front

    files = tuple(map(str, export_front(run, folder=folder, force=force)))
    if as_json:
        print(json_text(ExportedFront(source=str(run), files=files)))
        return
    for path in files:
        print(path)


def _best_on(run: Path, device: str) -> int:
    from nas.measuring.retarget import retargeted

    return retargeted(run, device)[0].trial_id
