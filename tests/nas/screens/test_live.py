"""What a search shows: lines that fit 80 columns, and a screen that counts."""

import io
from typing import Any

import pytest
from rich.console import Console

from analysis.numbers import duration, short_count
from nas.events import Begun, RowWritten
from nas.results.time_left import Remaining
from nas.screens.live import LiveView
from nas.screens.live_figures import DeviceUse, sparkline
from nas.search.config import Budget
from trials.trial import Progress


def row(trial_id: int, **changes: Any) -> dict[str, Any]:
    values = {"status": "completed", "purpose": "baseline", "accuracy": 0.9, "step_time_ratio": 12.5}
    return {"trial_id": trial_id, **values, "params": 14_358_406, "reward": 0.5, "epochs": 10, **changes}


def test_line_per_trial_fits_80_columns_and_marks_the_best_so_far() -> None:
    out = io.StringIO()
    view = LiveView(Console(file=out, width=80), Budget(trials=9))
    with view:
        view.show(Begun([row(0)], in_flight=1))
        view.show(RowWritten(row(1, reward=0.4)))
        view.show(RowWritten(row(1234, reward=0.6)))
        view.show(RowWritten(row(5, status="infeasible", failure_kind="out_of_memory")))
        view.show(RowWritten(row(6, status="cached", reward=0.4)))
    lines = out.getvalue().splitlines()
    assert lines[0] == "continuing: 1 trial recorded, 1 will run again"
    assert all(len(line) <= 80 for line in lines)
    assert lines[2] == "* ends the line of the best so far"
    assert [line.endswith(" *") for line in lines[1:]] == [False, False, True, False, False]
    assert "out_of_memory" in lines[4]
    assert "14.4 M params" in lines[1]


def test_longer_training_of_a_finalist_is_shown_with_its_epochs_and_is_no_best() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, highlight=False)
    view = LiveView(console, Budget(trials=1))
    view.show(RowWritten(row(0, choices=[1], step_seconds=0.1)))
    long = row(1234, choices=[1], purpose="finalist", epochs=40, reward=0.9, timing_flag=None)
    line = view._line(long)
    assert "40 epochs  reward 0.9000" in line
    assert len(line) <= 80
    view.show(RowWritten(long))
    console.print(view._screen())
    text = out.getvalue()
    assert "best finalist 0.9000 (trial 0, 1 x 40 epochs)" in text
    assert "*" not in text.split("trial 1234")[1]


def test_live_screen_shows_budget_best_and_workers() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True)
    view = LiveView(console, Budget(trials=4))
    view.show(Begun([row(0)], in_flight=0))
    view.show(Progress(trial_id=1, attempt=1, phase="training", epoch=3, epochs=10, slot=1))
    view.show(Progress(trial_id=2, attempt=1, phase="timing", slot=0))
    console.print(view._screen())
    text = out.getvalue()
    for words in (
        "1/4 trials",
        "best reward 0.5000 (trial 0)",
        "worker 1  trial 1  epoch 3/10",
        "trial 2  timing",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("number", "text"), [(999, "999"), (27_166, "27.2 k"), (4_283_096, "4.28 M"), (215_147_800, "215 M")]
)
def test_large_counts_are_shown_with_three_figures(number: int, text: str) -> None:
    assert short_count(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12_000, "3 h 20 min"), (7_199, "2 h 0 min")]
)
def test_durations_are_shown_in_seconds_minutes_and_hours(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sparkline_goes_from_the_lowest_to_the_highest_value_and_ends_with_the_last() -> None:
    assert sparkline([], width=8) == ""
    assert sparkline([0.3], width=8) == "▁"
    assert sparkline([0.1, 0.1, 0.5, 0.8], width=8) == "▁▁▅█"
    long = sparkline([i / 1000 for i in range(1000)], width=8)
    assert long == "▁▂▃▄▅▆▇█"


def test_devices_are_busy_while_their_trials_neither_wait_nor_have_ended() -> None:
    seconds = [0.0]
    use = DeviceUse(clock=lambda: seconds[0])
    assert use.share is None
    for slot in (0, 1):
        use.progress(Progress(trial_id=slot, attempt=1, phase="training", slot=slot))
    seconds[0] = 10
    use.progress(Progress(trial_id=1, attempt=1, phase="waiting", slot=1))
    seconds[0] = 20
    assert use.share == pytest.approx(0.75)
    use.ended(0)
    seconds[0] = 40
    assert use.share == pytest.approx(30 / 80)


def test_live_screen_shows_the_curve_of_rewards_in_80_columns() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    view = LiveView(console, Budget(trials=1000))
    view.show(Begun([row(i, reward=i / 1000) for i in range(900)], in_flight=0))
    console.print(view._screen())
    curve = next(line for line in out.getvalue().splitlines() if "best so far" in line)
    assert len(curve) <= 80
    assert "0.000 to 0.899" in curve
    assert {"▁", "█"} <= set(curve)


def test_live_screen_counts_the_finalists_trainings_in_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Remaining] = []

    def noted(budget: Budget, ended: Any, to_do: Remaining, **others: Any) -> float:
        asked.append(to_do)
        return 60.0

    monkeypatch.setattr("nas.screens.live.seconds_left", noted)
    left: list[Remaining] = []
    view = LiveView(Console(file=io.StringIO(), width=80), Budget(trials=2), finalists=2, finalist_epochs=40)
    for i, purpose in enumerate(["search", "search", "finalist", "finalist"]):
        view.show(
            RowWritten(row(i, purpose=purpose, choices=[i % 2], minival_accuracy=0.9, timing_flag=None))
        )
        asked.clear()
        view._screen()
        left.extend(asked)
    assert [(to_do.budget, to_do.repeats, to_do.repeat_epochs) for to_do in left] == [
        (1, 2, 40), (0, 2, 40), (0, 1, 40),
    ]  # fmt: skip


def test_live_screen_counts_many_workers_by_what_they_do() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    view = LiveView(console, Budget(trials=1000))
    for slot in range(1000):
        phase = "timing" if slot % 10 == 0 else "training"
        view.show(Progress(trial_id=slot, attempt=1, phase=phase, slot=slot))
    console.print(view._screen())
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "1000 workers: 900 training, 100 timing" in lines[1]
