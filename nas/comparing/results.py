"""Files of a comparison's figures: JSON and a picture, written anew after each training."""

import json
from dataclasses import asdict
from pathlib import Path

from nas.comparing.figures import ComparisonFigures
from nas.comparing.picture import picture_of
from trials.log.run_places import files_of

JSON_FILE, PICTURE_FILE = "comparison.json", "comparison.png"


def write_results(figures: ComparisonFigures) -> ComparisonFigures:
    """Writes both files, the picture as soon as a training has ended, and returns the figures."""
    folder = Path(figures.run)
    if figures.ended or figures.diverged:
        text = json.dumps(asdict(figures), indent=1) + "\n"
        files_of(folder).write(folder / JSON_FILE, text.encode(), durable=False)
    if figures.ended:
        files_of(folder).write(folder / PICTURE_FILE, picture_of(figures), durable=False)
    return figures
