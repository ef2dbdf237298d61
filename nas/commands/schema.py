"""The command nas schema."""

import json
from typing import Annotated

import typer

from nas.commands.options import Json
from nas.commands.output import show


def schema(
    command: Annotated[
        str | None, typer.Argument(help="A command, as status; none: which there are, with their versions.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the JSON Schema of what a command prints with --json."""
    from nas.commands.schemas import PRINTED, schema_list, schema_of
    from nas.screens.schemas import schemas_screen
    from search_spaces.settings.config_error import ConfigError
    from search_spaces.settings.near_names import suggestion

    if command is None:
        show(
            as_json,
            schema_list,
            lambda: schemas_screen((name, version) for name, (version, _) in PRINTED.items()),
        )
        return
    if command not in PRINTED:
        known = ", ".join(PRINTED)
        meant = suggestion(command, PRINTED)
        raise ConfigError(f"{command!r} is not a command; commands are {known}{meant}")
    print(json.dumps(schema_of(command), indent=2))
