"""The reward against the paper's numbers, and what never changes a ranking."""

from dataclasses import replace

import pytest
from conftest import MakeConfig
from formula import formula_result
from hypothesis import given
from hypothesis import strategies as st

from trials.measurement import Measurement
from trials.reward import Reward
from trials.trial import Trial, TrialResult

PAPER = Reward({"step_time_ratio": -0.07, "params": -0.05})


@pytest.fixture
def trial(make_config: MakeConfig) -> Trial:
    config = make_config()
    return Trial(
        trial_id=0, choices=(0,), architecture=config.space.reference, recipe=config.recipe, epochs=1, seed=0
    )


def result(trial: Trial, *, accuracy: float, step: float, params: float) -> TrialResult:
    """A completed trial with these ratios to the reference."""
    completed = formula_result(trial, accuracy=accuracy, ratio=step)
    assert completed.measurement is not None
    measured: Measurement = replace(
        completed.measurement, params=round(params * 10**9), reference_params=10**9
    )
    return replace(completed, measurement=measured)


@pytest.mark.parametrize(
    ("step", "params", "expected"),
    [(2, 1, 0.762110), (1, 2, 0.772749), (2, 2, 0.736150), (0.5, 1, 0.839773), (1, 1, 0.8)],
)
def test_reward_is_that_of_examples_worked_by_hand(
    trial: Trial, step: float, params: float, expected: float
) -> None:
    reward = PAPER(result(trial, accuracy=0.8, step=step, params=params))
    assert reward == pytest.approx(expected, abs=1e-6)


def test_reward_breaks_even_at_known_accuracies_for_twice_the_step_time_or_size(trial: Trial) -> None:
    base = PAPER(result(trial, accuracy=0.8, step=1, params=1))
    assert PAPER(result(trial, accuracy=0.8 * 1.049717, step=2, params=1)) == pytest.approx(base, abs=1e-6)
    assert PAPER(result(trial, accuracy=0.8 * 1.035265, step=1, params=2)) == pytest.approx(base, abs=1e-6)


# EfficientNetV2, Table 3: accuracy, parameters (M), images/s on TPUv3 and V100; and the two rewards.
TABLE_3 = {
    "none": (0.828, 19.3, 262, 155, 0.828000, 0.828000),
    "1-3": (0.831, 20.0, 362, 216, 0.848508, 0.849016),
    "1-5": (0.831, 43.4, 327, 223, 0.810479, 0.818583),
    "1-7": (0.817, 132.0, 254, 206, 0.740506, 0.757040),
}


@pytest.mark.parametrize(("device", "base"), [(0, 262), (1, 155)])
def test_rewards_of_the_papers_table_3_rank_its_networks(trial: Trial, device: int, base: float) -> None:
    rewards = {}
    for name, (accuracy, params, *columns) in TABLE_3.items():
        measured = result(trial, accuracy=accuracy, step=base / columns[device], params=params / 19.3)
        rewards[name] = PAPER(measured)
        assert rewards[name] == pytest.approx(columns[2 + device], abs=1e-6)
    assert sorted(rewards, key=lambda name: -(rewards[name] or 0)) == ["1-3", "none", "1-5", "1-7"]


positive = st.floats(0.05, 20)


@given(
    rows=st.lists(st.tuples(st.floats(0.1, 1), positive, positive), min_size=2, max_size=6),
    factor=st.sampled_from([0.25, 0.5, 2.0, 8.0]),
)
def test_rescaling_step_time_or_parameters_never_changes_a_ranking(
    rows: list[tuple[float, float, float]], factor: float
) -> None:
    def rewards(step_factor: float, params_factor: float) -> list[float]:
        terms = PAPER.terms
        return [
            a * (s * step_factor) ** terms["step_time_ratio"] * (p * params_factor) ** terms["params"]
            for a, s, p in rows
        ]

    before = rewards(1, 1)
    for after in (rewards(factor, 1), rewards(1, factor)):
        ratios = [b / a for a, b in zip(before, after, strict=True)]
        assert max(ratios) == pytest.approx(min(ratios))


def test_reward_of_infeasible_trials_is_zero_and_of_crashed_ones_unknown(trial: Trial) -> None:
    assert PAPER(TrialResult(trial=trial, status="infeasible", failure_kind="out_of_memory")) == 0.0
    assert PAPER(TrialResult(trial=trial, status="crashed", failure_kind="bug")) is None


def test_reward_may_have_other_terms_and_without_any_is_the_accuracy(trial: Trial) -> None:
    measured = result(trial, accuracy=0.5, step=3, params=3)
    assert Reward({})(measured) == 0.5
    assert Reward({"macs": -1.0})(measured) == 0.5  # the fake's macs equal the reference's


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"step_time": -0.07}, r"step_time is not measured.*did you mean 'step_time_ratio'"),
        ({"step": -0.07}, r"did you mean 'step_time_ratio'"),
        ({"MACs": -0.07}, r"did you mean 'macs'"),
        ({"params": float("nan")}, "exponent nan"),
        ({"params": -100.0}, "between -10 and 10"),
    ],
)
def test_wrong_terms_of_a_reward_are_refused(terms: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Reward(terms)
