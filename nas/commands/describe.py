"""The command nas describe."""

from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Json, Trust
from nas.commands.output import show
from search_spaces.networks.bounds import LARGEST_RESOLUTION


def describe(
    source: Annotated[
        str, typer.Argument(help="An architecture or space: a file, a run, or a shipped name.")
    ],
    classes: Annotated[
        int | None, typer.Option(min=2, help="Classes that parameters are counted with.")
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(min=1, max=LARGEST_RESOLUTION, help="Pixels, for MACs.")
    ] = None,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Show an architecture's, or a run's best one's, stages, parameters, MACs; or a space's decisions."""
    from nas.commands.written import DescribedSpace
    from nas.hub.folder import best_weights_in
    from nas.results.export import best_of_run
    from nas.screens.architecture import architecture_screen
    from nas.screens.describe_space import space_screen
    from nas.search.own_ops import check_contract
    from search_spaces.choices.described import read_described
    from search_spaces.choices.figures import space_figures
    from search_spaces.choices.space import SearchSpace
    from search_spaces.interchange.exportable import exportable
    from search_spaces.networks.architecture import Architecture
    from search_spaces.networks.figures import architecture_figures
    from trials.log.run_folder import is_run
    from trials.log.run_places import local_file
    from trials.training.weights_file import load_weights

    described: Architecture | SearchSpace
    if is_run(Path(local := local_file(source))):
        trial, described = best_of_run(Path(local))
        source = f"{source} (trial {trial})"
    elif (best := best_weights_in(Path(local))) is not None:
        weights = load_weights(best)
        described = weights.architecture
        classes, resolution = classes or weights.num_classes, resolution or weights.resolution
    else:
        described = read_described(local)
    check_contract(described, source)
    if isinstance(described, SearchSpace):
        of_space = space_figures(described, name=source, num_classes=classes, resolution=resolution)
        exports = exportable(described)
        show(
            as_json,
            lambda: DescribedSpace(**vars(of_space), exports=exports),
            lambda: space_screen(described, of_space, exports),
        )
    else:
        figures = architecture_figures(described, name=source, num_classes=classes, resolution=resolution)
        show(as_json, lambda: figures, lambda: architecture_screen(described, figures))
