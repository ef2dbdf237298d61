"""The interpreter for tests of own kernels."""

from collections.abc import Iterator

import pytest
from triton_kernels import interpreting


@pytest.fixture(scope="module")
def interpreted() -> Iterator[None]:
    """The tests of a module that ask for it run the kernels in Triton's interpreter."""
    with interpreting():
        yield
