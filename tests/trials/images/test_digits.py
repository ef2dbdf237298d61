"""The digits are those of scikit-learn, which is not loaded to read them."""

import subprocess
import sys

import numpy as np
import pytest

from trials.images import sources


def test_digits_are_scikit_learns_wherever_their_file_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.datasets import load_digits

    expected = load_digits()
    from_file = sources._digit_rows()
    np.testing.assert_array_equal(from_file[:, :-1], expected.data)
    np.testing.assert_array_equal(from_file[:, -1], expected.target)
    monkeypatch.setattr(sources, "find_spec", lambda name: None)
    np.testing.assert_array_equal(sources._digit_rows(), from_file)


def test_reading_digits_does_not_load_scikit_learn() -> None:
    """A worker would need as long for it as for torch."""
    code = "import sys; from trials.images.sources import Digits; Digits(); print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
