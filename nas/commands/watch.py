"""The command nas watch."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Json, Run
from nas.screens.terminal import plain_text, terminal

COLUMNS = 100  # of the state above the page
LARGEST_PORT = 65_535


def watch(
    run: Run,
    web: Annotated[
        bool, typer.Option("--web", help="Serve the report to a browser of this machine, kept up to date.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=LARGEST_PORT, help="With --web (default: one that is free).")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="With --web: show it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Follow a search: its state every two seconds, or as a page that changes with the run."""
    from nas.commands.follow import follow
    from trials.log.run_places import run_folder

    if not web:
        if port is not None or open_:
            raise typer.BadParameter("--port and --open are of --web; give it, too")
        follow(run_folder(run), terminal(), as_json=as_json)
        return
    _serve(run, port=port or 0, open_=open_, as_json=as_json)


def _serve(run: Path, *, port: int, open_: bool, as_json: bool) -> None:
    console = terminal(stderr=as_json)
    console.print(f"reading    {run}", soft_wrap=True)  # before what takes seconds to load
    from nas.commands.output import json_text
    from nas.report.live import LiveReport
    from nas.report.live_server import LiveServer, Served
    from nas.results.status import run_status

    report = LiveReport(run, _state_text)
    run_status(report.folder)  # refuses what is no run before anything listens
    os.nice(19)  # a search on this machine goes first
    with LiveServer(report, port=port) as server:
        if as_json:
            print(json_text(Served(run=str(run), url=server.url, port=server.port)), flush=True)
        else:
            console.print(server.url, soft_wrap=True)
        console.print(
            "for browsers of this machine alone; from another:  "
            f"ssh -L {server.port}:127.0.0.1:{server.port} THIS_MACHINE   Ctrl-C ends it",
            soft_wrap=True,
        )
        if open_:
            typer.launch(server.url)
        with suppress(KeyboardInterrupt):
            server.serve()


def _state_text(run: Path) -> str:
    """The screen of the run's state, as plain text."""
    from nas.results.status import run_status
    from nas.screens.status import status_screen

    return plain_text(status_screen(run_status(run), watched=True), width=COLUMNS)
