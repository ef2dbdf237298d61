"""The images of a search as its YAML file describes them: their source, and the part that is used."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.networks.bounds import LARGEST_MAX_PIXELS, SMALLEST_MAX_PIXELS
from search_spaces.settings.strict import STRICT
from trials.images.decode import MAX_PIXELS


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataConfig:
    """The images of a search. There is no test split here: a search never sees one.

    `source` is `digits` (scikit-learn's, built in), or the path or fsspec URL of a Parquet file, a folder or
    a glob: Parquet files in the Hugging Face layout, or one folder for each class. Where the source has
    several splits, only train is used. `minival` is the share of the images held out to evaluate trials;
    None takes 10 %, but at most 5,000 images unless that is less than 2 %.
    """

    source: str = Field(min_length=1)
    minival: float | None = Field(default=None, gt=0, lt=1)
    fraction: float = Field(default=1.0, gt=0, le=1)  # of the images used, stratified by class
    split_seed: int = Field(default=0, ge=0, lt=2**63)
    max_corrupt: float = Field(default=0.01, ge=0, lt=1)  # share of unreadable pictures that may be left out
    # Of a picture; one with more counts as unreadable.
    max_pixels: int = Field(default=MAX_PIXELS, ge=SMALLEST_MAX_PIXELS, le=LARGEST_MAX_PIXELS)
