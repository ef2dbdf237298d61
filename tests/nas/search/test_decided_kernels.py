"""The kernels of a run: one kind for all of its networks."""

from typing import Any

import pytest
from block_tables import made_up_table, small_space

from nas.search.decided_kernels import decided_kernels


def row(status: str, seconds: float | None, **more: str | None) -> Any:
    return {"status": status, "step_seconds": seconds, **more}


@pytest.mark.parametrize(
    ("rows", "kernels"),
    [
        ([], None),
        ([row("crashed", None, kernels=None)], None),  # nothing has been timed yet
        ([row("crashed", None, kernels=None), row("completed", 1.0, kernels="fused")], "fused"),
        ([row("completed", 1.0, kernels="torch"), row("completed", 1.0, kernels="fused")], "torch"),
        ([row("completed", 1.0)], "torch"),  # of a version that had no others
        ([row("infeasible", 1.0, kernels=None), row("completed", 1.0, kernels="fused")], "fused"),
        ([row("cached", 1.0, kernels="torch")], None),  # repeats another run's
    ],
)
def test_a_run_goes_on_with_the_kernels_of_its_first_timed_trial(
    rows: list[Any], kernels: str | None
) -> None:
    assert decided_kernels(rows) == kernels


def test_a_run_without_rows_takes_the_kernels_of_its_table() -> None:
    for kernels in ("fused", "torch"):
        assert decided_kernels([], table=made_up_table(small_space(), kernels=kernels)) == kernels
