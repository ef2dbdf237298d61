"""The architectures of a run in columns: a row for each stage, and the channels of stem and head."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.json as pj

from analysis.frame import read_trials
from search_spaces.networks.ops import activation_words
from search_spaces.networks.stage_fields import ABSENT, SILU
from trials.log.schema import Column

_INT, _FLOAT, _TEXT = pa.int64(), pa.float64(), pa.string()
STAGE_COLUMNS = (
    Column("run", _TEXT, "name of the run's folder"),
    Column("trial_id", _INT, "number of the trial in its run, from 0"),
    Column("stage", _INT, "from 1, as in the paper's tables without the stem"),
    Column("op", _TEXT, "as in the YAML: one of the project's, or of the user's own"),
    Column("kernel_size", _INT, "of the depthwise, or of the fused convolution", "px"),
    Column("stride", _INT, "of the first layer"),
    Column("expansion_ratio", _INT, "expanded over input channels; of float where some are not whole"),
    Column("channels", _INT, "of the output"),
    Column("layers", _INT, "blocks; 0 is a stage that is absent"),
    Column("se_ratio", _FLOAT, "squeezed over input channels; 0 is no squeeze-excite"),
)
# Columns that are there if any stage says the field; those of the others are then the value beside it.
YOUNGER_COLUMNS = {
    Column(
        "activation", _TEXT, "of all blocks: silu, relu, relu6, hard_swish or gelu; own: the op has its own"
    ): SILU,
    Column("start_kernel_size", _INT, "of a convolution before the expansion; 0 is none", "px"): ABSENT,
}
OF_ONE_STAGE = (*STAGE_COLUMNS[3:], *YOUNGER_COLUMNS)
BLOCK_BYTES = 1 << 24  # of JSON at once; one architecture has about a thousand


def read_stages(run: str | Path) -> pd.DataFrame:
    """One row per finished trial and stage, to be joined with `read_trials` on `run` and `trial_id`.

    Raises:
        FileNotFoundError, ValueError: as `read_trials`; an architecture does not read.
    """
    return stages_of(read_trials(run, columns=["run", "trial_id", "architecture"]))


def stages_of(trials: pd.DataFrame) -> pd.DataFrame:
    """The stages of these trials, in their order; a trial without an architecture has none.

    Columns are STAGE_COLUMNS, and those of YOUNGER_COLUMNS that a stage says.

    Raises:
        ValueError: an architecture is not the JSON that a log holds.
    """
    known = trials[trials["architecture"].notna()]
    codes, texts = pd.factorize(known["architecture"])
    lists = _parsed([str(text) for text in texts])["stages"].combine_chunks()
    counts = lists.value_lengths().to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else counts
    per_trial = counts[codes]
    within = np.arange(per_trial.sum()) - np.repeat(np.cumsum(per_trial) - per_trial, per_trial)
    rows = np.repeat(starts[codes], per_trial) + within
    flat = pa.Table.from_struct_array(lists.flatten()).to_pandas()
    frame = flat.iloc[rows].reset_index(drop=True)
    frame.insert(0, "stage", within + 1)
    frame.insert(0, "trial_id", np.repeat(known["trial_id"].to_numpy(dtype=np.int64), per_trial))
    frame.insert(0, "run", np.repeat(known["run"].to_numpy(), per_trial))
    names = [column.name for column in STAGE_COLUMNS]
    for column, plain in YOUNGER_COLUMNS.items():
        said = frame[column.name]
        if said.notna().any():
            frame[column.name] = said.where(said.notna(), plain).astype(type(plain))
            if column.name == "activation":  # of ops that have their own, no stage says one
                unsaid = {op: activation_words(op, None) for op in frame["op"].unique()}
                frame[column.name] = said.where(said.notna(), frame["op"].map(unsaid)).astype(str)
            names.append(column.name)
    # Read as float, because some may not be whole.
    ratios = frame["expansion_ratio"]
    if (ratios % 1 == 0).all():
        frame["expansion_ratio"] = ratios.astype(np.int64)
    return frame[names]


def ends_of(trials: pd.DataFrame) -> pd.DataFrame:
    """The channels of stem and head, a row for each trial."""
    parsed = _parsed([str(text) for text in trials["architecture"]])
    ends = parsed.select(["stem_channels", "head_channels"]).to_pandas()
    return ends.set_index(trials.index)


def _parsed(texts: Sequence[str]) -> pa.Table:
    types = {column.name: column.type for column in OF_ONE_STAGE} | {"expansion_ratio": _FLOAT}
    stage = pa.struct(list(types.items()))
    schema = pa.schema([("stem_channels", _INT), ("stages", pa.list_(stage)), ("head_channels", _INT)])
    if not texts:
        return schema.empty_table()
    try:
        parsed = pj.read_json(
            io.BytesIO("\n".join(texts).encode()),
            read_options=pj.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowException as error:
        raise ValueError(f"architecture column: not the JSON of an architecture ({error})") from None
    if parsed.num_rows != len(texts) or parsed["stages"].null_count:
        raise ValueError("architecture column: not one JSON mapping with stages for each trial")
    return parsed
