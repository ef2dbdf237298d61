"""The screen and the picture of comparisons."""

from dataclasses import replace

import pytest
from comparisons import (
    CONDITIONS,
    DATA,
    SHORT,
    against,
    comparison_of,
    network_figures,
    networks_of,
    seed_figures,
)
from matplotlib.figure import Figure
from screens import screen_text
from small_networks import SMALL, WIDE

from nas.comparing.compare import ComparisonBegun
from nas.comparing.config import ComparisonConfig, ComparisonPlan, NetworkCosts
from nas.comparing.figures import DivergedSeed, Interval
from nas.comparing.picture import picture_of
from nas.screens.comparison import comparison_screen, plan_screen
from search_spaces.settings.output_files import PNG

FIRST = network_figures("base", step_time_ratio_spread=None)
BETTER = network_figures("winner", step_time_ratio=0.54, against_first=against(0.0312, sure=True))
OPEN = network_figures("other", step_time_ratio=1.2, against_first=against(-0.004, half=0.02))
WORSE = network_figures("worst", step_time_ratio=2.0, against_first=against(-0.1, sure=True))


def shown(*networks: object, **changes: object) -> str:
    return screen_text(comparison_screen(comparison_of(*networks, **changes)))  # type: ignore[arg-type]


def test_differences_have_intervals_and_the_sure_ones_are_named() -> None:
    text = shown(FIRST, BETTER, OPEN, WORSE)
    assert "accuracy on minival (36 images), 3 seeds, equal epochs" in text
    assert "+0.0312  +0.0212 to +0.0412\n" in text
    assert "surely more accurate than base: winner\n" in text
    assert "surely less accurate than base: worst\n" in text
    assert "no sure difference from base: other\n" in text
    assert "Holm's correction over 3 comparisons" in text
    assert "0.54x" in text
    assert "5.0 %" in text


def test_long_names_and_large_figures_fit_80_columns() -> None:
    long = {"params": 207_600_000, "macs": 16_123_456_789, "seconds": 3600.0 * 30, "epochs": 10_000}
    names = [replace(each, name=each.name * 9, **long) for each in (FIRST, BETTER, OPEN)]
    text = shown(*names)
    rows = [line.rstrip() for line in text.splitlines() if line.startswith(("basebase…", "winner", "other"))]
    accuracies, costs = rows[:3], rows[3:6]
    assert all("0.8800 to 0.9200" in line for line in accuracies)
    assert accuracies[1].endswith("+0.0312  +0.0212 to +0.0412")
    assert all(line.endswith("208 M  16.1 G  10,000  30 h 0 min") for line in costs)


def test_one_seed_has_no_interval_and_the_screen_says_so() -> None:
    alone = Interval(value=0.9, low=None, high=None)
    networks = [
        replace(each, accuracy=alone, trainings=(seed_figures(0),), against_first=difference)
        for each, difference in ((FIRST, None), (OPEN, against(0.02, half=None, pairs=1)))
    ]
    text = shown(*networks, seeds=(0,), ended=2, total=2)
    assert "One seed does not tell how trainings vary, so there are no intervals." in text
    assert "Holm" not in text
    assert "no sure difference from base: other" in text


def test_an_unfinished_comparison_says_how_far_it_is_and_what_goes_on_with_it() -> None:
    text = shown(FIRST, OPEN, BETTER, ended=8, total=9, seconds_left=240.0)
    assert "8 of 9 trainings, about 4 min left: accuracy on minival" in text
    assert "which differences are sure is said when no training is left" in text
    assert "urely" not in text
    assert "no sure difference" not in text
    assert "this goes on:  nas compare --run run" in text
    assert "Seeds so far" not in text
    fewer = shown(FIRST, replace(OPEN, trainings=OPEN.trainings[:2]), ended=5, total=6)
    assert "Seeds so far: base 3, other 2." in fewer
    worked = screen_text(
        comparison_screen(comparison_of(FIRST, OPEN, ended=4, total=6), driver="process 7 on host")
    )
    assert "process 7 on host works on it" in worked
    assert "this goes on" not in worked


def test_nothing_trained_yet_is_shown_with_costs_alone() -> None:
    none = {"accuracy": None, "trainings": (), "seconds": None, "against_first": None}
    text = shown(*(replace(each, **none) for each in (FIRST, OPEN)), ended=0, total=6, image_error=None)
    assert "17.2 k" in text
    assert "difference" not in text
    assert "comparison.png" not in text


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"device_name": "another CPU"}, "Trained on different devices"),
        ({"threads": 2}, "Trained with 1 and 2 threads"),
        ({"stopped_early": True, "epochs": 2}, "Ended early, by --patience: 2 to 4 epochs."),
    ],
)
def test_trainings_that_were_not_alike_are_named(changes: dict[str, object], note: str) -> None:
    trainings = (*OPEN.trainings[:2], seed_figures(2, **changes))
    assert note in shown(FIRST, replace(OPEN, trainings=trainings))
    assert note not in shown(FIRST, OPEN)


def test_equal_time_shows_which_seconds_were_really_taken() -> None:
    text = shown(FIRST, replace(OPEN, seconds=11.0), replace(BETTER, seconds=9.0), equal="time")
    assert "the time of base" in text
    assert "trainings took 0.9 to 1.1 times the first network's seconds" in text
    alone = shown(FIRST, replace(OPEN, seconds=11.0), equal="time")
    assert "trainings took 1.1 times the first network's seconds" in alone


DIVERGED = DivergedSeed(
    seed=1, run="run/trainings/winner/seed-1", reason="the training loss of epoch 3 is nan"
)


def test_trainings_that_diverged_are_named_and_leave_no_training_to_wait_for() -> None:
    rest = (BETTER.trainings[0], BETTER.trainings[2])
    fewer = replace(
        BETTER, trainings=rest, diverged=(DIVERGED,), against_first=against(0.03, sure=True, pairs=2)
    )
    text = shown(FIRST, fewer, ended=5, diverged=1, total=6)
    assert text.startswith("accuracy on minival")
    named = "winner seed 1 (the training loss of epoch 3 is nan)"
    assert f"Diverged, and left out with their pairs: {named}." in " ".join(text.split())
    assert "surely more accurate than base: winner" in text
    assert "Seeds: base 3, winner 2." in text
    assert "this goes on" not in text
    assert "Diverged" not in shown(FIRST, BETTER)


def test_a_comparison_of_which_every_training_diverged_has_costs_and_no_picture() -> None:
    none = {
        "accuracy": None,
        "trainings": (),
        "seconds": None,
        "diverged": (DIVERGED,),
        "against_first": None,
    }
    networks = [replace(each, **none) for each in (FIRST, OPEN)]
    text = shown(*networks, seeds=(1,), ended=0, diverged=2, total=2, image_error=None)
    assert "other seed 1 (the training loss" in text
    assert "run/   comparison.json" in text
    assert "comparison.png" not in text


def test_accuracies_on_minival_are_higher_after_more_epochs() -> None:
    assert "accuracies are a little high (see --test)." in shown(FIRST, OPEN)
    longer = replace(OPEN, trainings=tuple(seed_figures(seed, epochs=8) for seed in range(3)))
    text = shown(FIRST, longer, equal="time")
    note = "accuracies are a little high, more so after more epochs (see --test)."
    assert note in " ".join(text.split())


@pytest.mark.parametrize("flag", [None, "uncertain by 4 %"])
def test_the_plan_shows_step_times_by_the_rule_of_the_comparison(flag: str | None) -> None:
    networks = networks_of(small=SMALL, wide=WIDE)
    config = ComparisonConfig(networks=networks, data=DATA, recipe=SHORT)
    timed = NetworkCosts(params=1, macs=1, epochs=2, step_seconds=0.1, step_time_ratio=1.0, timing_flag=flag)
    costs = {"small": timed, "wide": replace(timed, step_time_ratio=3.0)}
    begun = ComparisonBegun(ComparisonPlan(config=config, conditions=CONDITIONS, costs=costs), 3, 1, 60.0, ())
    lines = [line.split() for line in screen_text(plan_screen(begun)).splitlines()]
    assert ["small", "1x", "1", "2"] in lines
    assert ["wide", "3x", *(["?"] if flag else []), "1", "2"] in lines
    assert ["3", "of", "6", "trainings", "have", "ended,", "1", "diverged"] in lines


def test_an_uncertain_step_time_is_marked() -> None:
    text = shown(FIRST, replace(OPEN, timing_flag="uncertain by 4 %"))
    assert "1.2x ?" in text
    assert "? uncertain" in text


def test_picture_is_a_png_also_without_intervals_or_step_times() -> None:
    names = [replace(FIRST, name="$x_1^2$\n"), *(replace(OPEN, name=f"n{i}") for i in range(9))]
    assert picture_of(comparison_of(*names)).startswith(PNG)
    bare = replace(OPEN, accuracy=Interval(value=0.5, low=None, high=None), step_time_ratio=None)
    untimed = comparison_of(replace(FIRST, step_time_ratio=None), bare)
    assert picture_of(untimed).startswith(PNG)
    assert len(picture_of(untimed)) != len(picture_of(comparison_of(FIRST, OPEN)))


def test_legend_names_every_network_that_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def kept(figure: Figure, *arguments: object, **named: object) -> None:
        drawn.append(figure)
        save(figure, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", kept)
    too_large = replace(OPEN, name="too large", step_time_ratio=None)
    untrained = replace(WORSE, accuracy=None, trainings=())
    picture_of(comparison_of(FIRST, too_large, replace(BETTER, name="_mine"), untrained))
    (figure,) = drawn
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["base", "too large", "_mine"]
    colours = [handle.get_color() for handle in legend.get_lines()]
    assert len(set(colours)) == 3
    panels = [
        {line.get_color() for line in axes.get_lines() if line.get_marker() != "None"} for axes in figure.axes
    ]
    assert panels[0] == {colours[0], colours[2]}
    assert panels[1] == set(colours)
