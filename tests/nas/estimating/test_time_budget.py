"""nas search --budget 30m: the rule with given seconds, and the command with a made-up estimate."""

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Nas

import nas.estimating.fitted_search as fitted_search
import nas.estimating.time_budget as time_budget
from nas.estimating.packing_time import packing_seconds
from nas.estimating.time_budget import (
    AIMED_TRIALS,
    FEWEST_TRIALS,
    USED,
    Beforehand,
    FittedSearch,
    TrialSeconds,
    fit_search,
    least_fraction,
    read_duration,
)
from nas.search.config import SearchConfig
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml

GIVEN: dict[str, Any] = {
    "devices": 2, "repeats": 6, "baseline": 10, "fraction": 1.0, "least_fraction": 0.1,
}  # fmt: skip


def fit(minutes: float, *, fixed: float, of_images: float, **more: Any) -> FittedSearch:
    return fit_search(
        60 * minutes / USED, TrialSeconds(fixed=fixed, of_images=of_images), **{**GIVEN, **more}
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5h", 5400), ("1d", 86_400)]
)
def test_a_time_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["30", "m", "0m", "-5m", "1w", "30 minutes", "nanm", "1e9d", ""])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a time, as in 90s, 30m, 2h or 1d"):
        read_duration(text)


def test_trials_fill_the_time_less_the_repeats_of_finalists() -> None:
    """30 min of 60 s each on two devices: 30 rounds, three of them for six repeats."""
    found = fit(30, fixed=10, of_images=50)
    assert found == FittedSearch(trials=54, fraction=1.0, trial_seconds=60)
    assert fit(30, fixed=10, of_images=50, repeats=0).trials == 60
    assert fit(30, fixed=10, of_images=50, devices=1).trials == 24
    assert fit(30, fixed=10, of_images=50, devices=64, repeats=0).trials == 64 * 30


def test_longer_trainings_of_finalists_take_more_of_the_time() -> None:
    """30 min of 60 s on two devices; six trainings of four times the epochs are three rounds of 210 s."""
    assert fit(30, fixed=10, of_images=50, repeat_length=4.0).trials == 2 * ((1800 - 3 * 210) // 60)
    whole = fit(20, fixed=10, of_images=170, repeat_length=4.0)
    assert whole.trials == AIMED_TRIALS
    taken = AIMED_TRIALS // 2 * whole.trial_seconds + 3 * (10 + 4 * 170 * whole.fraction)
    assert 0.98 * 1200 < taken <= 1200
    with pytest.raises(ConfigError, match="20 trials and the longer trainings of finalists") as refused:
        fit(13, fixed=10, of_images=500, repeat_length=4.0)
    needed = re.search(r"--budget (\d+)m", str(refused.value))
    assert needed is not None
    assert fit(USED * int(needed[1]), fixed=10, of_images=500, repeat_length=4.0).trials >= FEWEST_TRIALS


def test_too_few_trials_take_a_smaller_share_of_the_images() -> None:
    """20 min allow 20 rounds of 60 s, 17 without the repeats: 34. Of 3 min a trial only 3.7, or 6."""
    assert fit(20, fixed=10, of_images=50).fraction == 1.0
    found = fit(20, fixed=10, of_images=170)
    rounds = AIMED_TRIALS // 2 + 3
    assert found.trials == AIMED_TRIALS
    assert found.fraction == math.floor(1000 * (1200 / rounds - 10) / 170) / 1000
    assert found.trial_seconds == pytest.approx(10 + 170 * found.fraction)
    assert found.trial_seconds * rounds <= 1200


def test_a_share_of_a_share_is_a_share_of_all_images() -> None:
    whole = fit(20, fixed=10, of_images=170)
    half = fit(20, fixed=10, of_images=170, fraction=0.5)
    assert half.fraction == pytest.approx(whole.fraction / 2, rel=0.01)


def test_the_smallest_share_is_taken_if_twenty_trials_fit_and_refused_else() -> None:
    rounds = FEWEST_TRIALS // 2 + 3
    found = fit(rounds, fixed=10, of_images=500, least_fraction=0.1)  # 60 s at a tenth
    assert found == FittedSearch(trials=FEWEST_TRIALS, fraction=0.1, trial_seconds=60)
    with pytest.raises(ConfigError) as refused:
        fit(rounds - 1, fixed=10, of_images=500, least_fraction=0.1)
    words = str(refused.value)
    assert "fewer than 20 trials and the repeats of finalists fit on 2 devices" in words
    assert "about 60 s" in words
    assert "already on 0.1 of the images" in words
    needed = math.ceil(rounds / USED)
    assert f"--budget {needed}m or more" in words
    assert fit(USED * needed, fixed=10, of_images=500).trials >= FEWEST_TRIALS


@pytest.mark.parametrize("seed", range(20))
def test_what_is_planned_keeps_to_its_time(seed: int) -> None:
    """Estimating, decoding, all rounds of trials and of repeats: at most the time, at least 20 trials."""
    rng = np.random.default_rng(seed)
    seconds, devices, repeats = (
        float(rng.integers(600, 90_000)),
        int(rng.integers(1, 9)),
        int(rng.integers(16)),
    )
    trial = TrialSeconds(fixed=float(rng.uniform(1, 30)), of_images=float(rng.uniform(1, 900)))
    before = Beforehand(estimating=float(rng.uniform(0, 60)), packing=float(rng.uniform(0, 900)))
    try:
        found = fit_search(
            seconds, trial, devices=devices, repeats=repeats, baseline=10, fraction=0.5, least_fraction=0.01,
            beforehand=before,
        )  # fmt: skip
    except ConfigError as refused:
        typed = str(refused).partition("--budget ")[2].split()[0]
        assert read_duration(typed) > seconds
        return
    rounds = math.ceil(found.trials / devices) + math.ceil(repeats / devices)
    share = found.fraction / 0.5
    assert found.seconds_before == pytest.approx(before.estimating + before.packing * share)
    taken = rounds * (trial.fixed + trial.of_images * share)
    assert taken <= USED * (seconds - found.seconds_before) * (1 + 1e-9)
    assert found.trials >= FEWEST_TRIALS


def test_decoding_and_estimating_come_off_the_time() -> None:
    """30 min are 30 rounds of 60 s; less 10 min of decoding and 2 of estimating, 18."""
    before = Beforehand(estimating=120 / USED, packing=600 / USED)
    assert fit(30, fixed=10, of_images=50, beforehand=before).trials == 2 * (18 - 3)
    assert fit(30, fixed=10, of_images=50, beforehand=replace(before, is_packed=True)).trials == 2 * (28 - 3)


def test_a_smaller_share_is_decoded_sooner_but_is_not_packed_yet() -> None:
    before = Beforehand(packing=1200 / USED, is_packed=True)
    found = fit(20, fixed=10, of_images=170, beforehand=before)
    rounds = AIMED_TRIALS // 2 + 3
    assert found.fraction == math.floor(1000 * (1200 - 10 * rounds) / (170 * rounds + 1200)) / 1000
    assert found.trials == AIMED_TRIALS


def test_a_time_that_decoding_takes_up_is_refused_with_what_would_fit() -> None:
    """A tenth of the images is decoded in 300 s."""
    before = Beforehand(packing=3000)
    with pytest.raises(ConfigError, match=r"and begins after .* of decoding them and timing") as refused:
        fit(4, fixed=1, of_images=1, beforehand=before)
    minutes = re.search(r"--budget (\d+)m or more", str(refused.value))
    assert minutes is not None
    assert fit(USED * float(minutes[1]), fixed=1, of_images=1, beforehand=before).trials >= FEWEST_TRIALS


@pytest.mark.parametrize(("count", "share"), [(100, 1), (4_000, 1 / 8)])
def test_decoding_is_estimated_by_a_few_pictures(count: int, share: float) -> None:
    """A picture takes 0.1 s by this clock; many are decoded by as many processes as there are cores."""
    read: list[int] = []

    def pictures() -> Iterator[tuple[str, bytes]]:
        for i in range(count):
            read.append(i)
            yield f"{i}", b"no picture"

    ticks = itertools.count(0, 0.1)
    found = SimpleNamespace(read=pictures, labels=np.zeros(count), max_pixels=64)
    seconds = packing_seconds(found, (32, 64), cores=8, clock=lambda: next(ticks))  # type: ignore[arg-type]
    assert seconds == pytest.approx(0.1 * count * share, rel=0.06)
    assert len(read) == 20  # two seconds of them


def test_as_many_trials_as_the_baseline_fit_or_nothing_is_begun() -> None:
    with pytest.raises(ConfigError, match="fewer than 50 trials"):
        fit(20, fixed=50, of_images=10, baseline=50)
    assert fit(30, fixed=10, of_images=50, baseline=50).trials == 54


def test_a_step_that_images_do_not_shorten_is_refused_with_what_would_fit() -> None:
    with pytest.raises(ConfigError, match=r"Give --budget \d+h or more"):
        fit(1, fixed=1000, of_images=0.001)


def test_a_share_leaves_twenty_images_a_class_and_fifty_for_minival() -> None:
    even = np.full(10, 1000)
    assert least_fraction(even, minival=0.2, fraction=1.0) == pytest.approx(0.025)  # 20 of 800
    assert least_fraction(even, minival=0.5, fraction=1.0) == pytest.approx(0.04)  # 20 of 500
    assert least_fraction(even, minival=0.5, fraction=0.5) == pytest.approx(0.02)  # of twice as many
    assert least_fraction(even, minival=0.02, fraction=1.0) == pytest.approx(0.25)  # 50 of 200
    assert least_fraction(even, minival=None, fraction=1.0) == pytest.approx(0.05)  # 50 of 1,000
    uneven = np.array([5000, 50])
    assert least_fraction(uneven, minival=0.2, fraction=1.0) == pytest.approx(0.5)  # 20 of 40
    rare = np.array([5000, 5000, 10])
    assert least_fraction(rare, minival=0.2, fraction=1.0) == pytest.approx(
        0.2
    )  # 2 of 10: a split needs them
    assert least_fraction(np.array([30, 30]), minival=0.2, fraction=1.0) == 1.0  # no fewer than there are


# ---------------------------------------------------------------------- the command

DIGITS_TO_TRAIN_ON = 1078  # of the built-in digits that a search sees
WORDS = (
    "--run", "run", "--in-process", "--set", "recipe.epochs=2", "--set", "recipe.precision=fp32",
    "--set", "baseline=2", "--set", "finalists={count: 1, repeats: 1}",
)  # fmt: skip


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A trial takes a second, and a second for 100 images; of how many images that was asked."""
    asked: list[int] = []

    def seconds(config: SearchConfig, images: Any, **_: Any) -> tuple[TrialSeconds, float]:
        asked.append(images.train)
        return TrialSeconds(fixed=1.0, of_images=images.train / 100), 2.5

    monkeypatch.setattr(fitted_search, "_trial_seconds", seconds)
    monkeypatch.setattr(fitted_search, "packing_seconds", lambda found, resolutions: 0.0)
    monkeypatch.setattr(fitted_search, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    return asked


def test_a_search_that_fits_a_time_is_recorded_as_a_plain_one_and_goes_on(
    nas: Nas, tmp_path: Path, made_up: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 s are 34 s for trials: of 11.8 s each three fit; five rounds, the last a repeat, of 6.8 s."""
    monkeypatch.setattr(time_budget, "FEWEST_TRIALS", 3)
    monkeypatch.setattr(time_budget, "AIMED_TRIALS", 4)
    code, out, err = nas("search", "quick", "--budget", "40s", *WORDS)
    assert code == 0, err
    assert made_up == [DIGITS_TO_TRAIN_ON]
    said = " ".join(out.split())
    assert "budget 40s: 4 trials and 1 repeat of finalists of about 7 s each, on 1 device" in said
    recorded = read_yaml(SearchConfig, tmp_path / "run" / "search.yaml")
    fraction = math.floor(1000 * (34 / 5 - 1) / (DIGITS_TO_TRAIN_ON / 100)) / 1000
    assert (recorded.budget.trials, recorded.data.fraction) == (4, fraction)
    assert f"data.fraction={fraction}" in said
    rows = pd.read_parquet(tmp_path / "run" / "trials.parquet")
    assert rows["purpose"].tolist() == ["baseline"] * 2 + ["search"] * 2 + ["repeat"]
    code, out, err = nas("search", "quick", "--budget", "1h", *WORDS)
    assert code == 0, err
    assert "its 4 trials, as recorded" in " ".join(out.split())
    assert read_yaml(SearchConfig, tmp_path / "run" / "search.yaml") == recorded
    assert made_up == [DIGITS_TO_TRAIN_ON]  # a run that goes on is not timed again


def test_what_decoding_and_timing_take_is_said_and_comes_off_the_time(
    nas: Nas, tmp_path: Path, made_up: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By this clock timing takes 20 s; decoding 4 s, 2.5 times as long while others compute."""
    ticks = itertools.count(0.0, 20.0)
    monkeypatch.setattr(fitted_search, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    monkeypatch.setattr(fitted_search, "packing_seconds", lambda found, resolutions: 4.0)
    code, _, err = nas("search", "quick", "--budget", "60s", *WORDS)
    assert code == 2
    assert "begins after " in err
    assert made_up == [DIGITS_TO_TRAIN_ON]


def test_a_time_that_is_too_short_is_refused_and_nothing_is_written(
    nas: Nas, tmp_path: Path, made_up: list[int]
) -> None:
    code, _, err = nas("search", "quick", "--budget", "20s", *WORDS)
    assert code == 2
    assert err.startswith("--budget 20s: in 20 s fewer than 20 trials")
    assert "--budget 2m or more" in err
    assert "made trials 2.5 times as long" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "budget.trials=3"), "--budget 4m and --set budget.trials=3 exclude each other"),
        (("--set", "budget={epochs: 9}"), "exclude each other"),
        (("--estimate",), "--estimate and --budget exclude each other"),
        (("--ray-address", "auto"), "--ray-address"),
    ],
)
def test_what_contradicts_a_time_is_refused(
    nas: Nas, tmp_path: Path, made_up: list[int], words: tuple[str, ...], said: str
) -> None:
    code, _, err = nas("search", "quick", "--budget", "4m", *words)
    assert code == 2
    assert said in " ".join(err.split())
    assert made_up == []
    assert list(tmp_path.iterdir()) == []


def test_images_that_are_not_there_are_asked_for(nas: Nas, made_up: list[int]) -> None:
    code, _, err = nas("search", "photos", "--budget", "4m")
    assert code == 2
    assert "--set data.source=PATH" in err
    assert made_up == []
