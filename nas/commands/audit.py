"""The command nas audit."""

from typing import Annotated

import typer

from nas.commands.options import Json, RayAddress, Run, Trust
from nas.commands.output import show
from nas.screens.terminal import terminal


def audit(
    run: Run,
    trials: Annotated[
        int, typer.Option(min=2, max=100_000, help="Architectures, over the whole range of rewards.")
    ] = 20,
    epochs: Annotated[int, typer.Option(min=1, max=100_000, help="Of each training.")] = 40,
    workers: Annotated[int | None, typer.Option(min=1, help="How many at once (default: all).")] = None,
    ray_address: RayAddress = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="One at a time, without Ray.")] = False,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Train a sample of a run's architectures for longer: do the short trials rank them rightly?"""
    from nas.commands.launch_audit import audit_on_console
    from nas.screens.audit import audit_screen
    from nas.search.audit import plan_audit
    from trials.log.run_places import run_folder

    plan = plan_audit(run_folder(run), trials=trials, epochs=epochs)
    figures = audit_on_console(
        plan,
        workers=workers,
        ray_address=ray_address,
        in_process=in_process,
        console=terminal(stderr=as_json),
    )
    show(as_json, lambda: figures, lambda: audit_screen(figures))
