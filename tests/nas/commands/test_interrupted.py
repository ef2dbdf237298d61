"""Ctrl-C typed twice: the second one comes while the first one's end is told."""

import os
import signal

import pytest
from conftest import Nas

from nas.cli import _exit_code


def test_a_second_interrupt_neither_hides_what_went_wrong_nor_prints_a_traceback(
    nas: Nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(error: Exception) -> int | None:
        os.kill(os.getpid(), signal.SIGINT)
        return _exit_code(error)

    monkeypatch.setattr("nas.cli._exit_code", interrupted)
    before = signal.getsignal(signal.SIGINT)
    code, _, said = nas("describe", "nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml" in said
    assert signal.getsignal(signal.SIGINT) is before
