"""The benchmark of proxies without training computes what the papers define."""

import math

import numpy as np
import pytest
import torch
from places import REPOSITORY
from torch import nn


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "tests" / "benchmarks"))


def test_zico_sums_logarithms_of_mean_over_deviation_of_gradients() -> None:
    from proxy_scores import zico

    # |g| has means 2 and 3, g the deviations 1 and 3: 2 / 1 + 3 / 3 = 3; the last weight never changes.
    first = torch.tensor([[1.0, 0.0, 5.0], [3.0, 6.0, 5.0]])
    second = torch.tensor([[2.0], [-2.0]])  # mean |g| 2, deviation 2
    assert zico([first, second]) == pytest.approx(math.log(3) + math.log(1))


def test_gradients_of_batches_are_those_of_each_batch_alone() -> None:
    from proxy_scores import gradients

    layer = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(layer.weight)
    batches = [(torch.tensor([[1.0]]), torch.tensor([0])), (torch.tensor([[4.0]]), torch.tensor([1]))]
    (found,) = gradients(layer, batches)
    assert found.tolist() == [[-0.5, 0.5], [2.0, -2.0]]  # (softmax - one-hot) * input


def test_entropy_counts_directions_of_equal_variance() -> None:
    from proxy_scores import entropy

    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])  # pixels of two channels
    both = corners.T.reshape(1, 2, 2, 2)
    assert entropy(both) == pytest.approx(math.log(2), abs=1e-6)
    assert entropy(both * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)) == pytest.approx(0, abs=1e-6)


def test_trainability_is_best_where_a_block_keeps_the_norm_of_gradients() -> None:
    from proxy_scores import az_nas, trainability

    sent = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).T.reshape(1, 2, 2, 2)
    assert trainability(sent, sent) == pytest.approx(0, abs=1e-5)
    assert trainability(sent, 2 * sent) == pytest.approx(2 - 2 - 1 / 2, abs=1e-5)
    # A stride of 2: each output pixel has four pixels of the input, here of 1 / 2 of its gradient each.
    sent = torch.ones(1, 1, 1, 1)
    assert trainability(sent, torch.full((1, 1, 2, 2), 0.5)) == pytest.approx(0, abs=1e-5)

    doubling = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(doubling.weight, 2.0)
    found = az_nas([nn.Identity(), doubling], torch.randn(8, 1, 4, 4))
    assert found["trainability"] == pytest.approx(2 - 2 - 1 / 2, abs=1e-5)
    assert found["expressivity"] == pytest.approx(0, abs=1e-5)


def test_progressivity_is_the_least_growth_of_entropy() -> None:
    from proxy_scores import az_nas

    first, second = nn.Conv2d(2, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.eye(2).view(2, 2, 1, 1))
        second.weight.copy_(torch.ones(2, 2, 1, 1))  # both channels become their sum
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    found = az_nas([first, second], corners.T.reshape(1, 2, 2, 2))
    assert found["progressivity"] == pytest.approx(-math.log(2), abs=1e-6)


def test_swap_counts_patterns_and_naswot_their_agreement() -> None:
    from proxy_scores import naswot, swap

    layers = [torch.tensor([[1, 0, 1], [1, 1, 1]]).bool(), torch.tensor([[0], [1]]).bool()]
    assert swap(layers) == 2  # (1, 1), (0, 1), (1, 1) and (0, 1) again
    # Images agree with themselves on 4 units, with each other on 2: |4 2; 2 4| = 12.
    assert naswot(layers) == pytest.approx(math.log(12))


def test_meco_is_the_least_eigenvalue_of_correlated_channels() -> None:
    from proxy_scores import least_eigenvalue, signs_and_meco

    first = torch.tensor([1.0, -1.0, 1.0, -1.0])
    other = torch.tensor([1.0, 1.0, -1.0, -1.0])
    mixed = 0.6 * first + 0.8 * other  # correlated 0.6 with the first
    assert least_eigenvalue(torch.stack([first, mixed]).view(2, 2, 2)) == pytest.approx(0.4, abs=1e-6)
    assert least_eigenvalue(torch.randn(4, 2, 2)) == 0  # as many channels as pixels
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        signs, meco = signs_and_meco(network, torch.tensor([[[[1.0, -1.0, 2.0, 0.0]]]]))
    assert signs[0].tolist() == [[True, False, True, False, False, True, False, False]]
    assert meco == pytest.approx(
        1 + torch.corrcoef(torch.tensor([[1.0, 0, 2, 0], [0, 1, 0, 0]]))[0, 1].item()
    )


def test_synflow_is_of_positive_weights_without_batch_norm_and_leaves_the_network() -> None:
    from proxy_scores import synflow

    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 1))
    with torch.no_grad():
        network[0].weight.fill_(-3.0)
        network[3].weight.fill_(2.0)
        network[3].bias.fill_(0.0)
    # The output is 4 * 3 * 2 = 24, and so is each layer's sum of weight times gradient.
    assert synflow(network, torch.zeros(1, 1, 2, 2)) == pytest.approx(math.log(48))
    assert network[0].weight.item() == -3.0
    assert network[0].weight.grad is None


def test_partial_correlation_is_none_of_a_proxy_that_only_tells_the_counts() -> None:
    import proxies

    rng = np.random.default_rng(0)
    counts = rng.standard_normal((400, 1))
    proxy = counts[:, 0] + 0.3 * rng.standard_normal(400)
    logit = counts[:, 0] + 0.3 * rng.standard_normal(400)
    assert proxies.partial(logit, proxy, np.zeros((400, 0)), of="spearman") > 0.8
    for of in ("spearman", "kendall"):
        assert abs(proxies.partial(logit, proxy, counts, of=of)) < 0.15
        assert proxies.partial(logit, logit + 0.1 * proxy, counts, of=of) > 0.7


def test_error_falls_by_a_proxy_that_tells_the_accuracy_and_not_by_noise() -> None:
    import proxies

    rng = np.random.default_rng(0)
    table = proxies.Known(
        choices=rng.integers(0, 2, (60, 3)),
        logit=(logit := rng.standard_normal(60)),
        counts=rng.standard_normal((60, 1)),
        proxies={"telling": logit + 0.2 * rng.standard_normal(60), "noise": rng.standard_normal(60)},
    )
    sets = {"telling": ("telling",), "noise": ("noise",)}
    found = proxies.gains(table, sets, model="choices", splits=5)
    for size in proxies.SIZES[1:]:
        assert found["telling"][size]["change"][0] < -40
        assert found["noise"][size]["change"][0] > -10


def test_macro_networks_have_the_tables_parameters() -> None:
    from proxy_networks import macro_network

    # Of the table: 00000000 and 11100100.
    for choices, params in (((0,) * 8, 387_882), ((1, 1, 1, 0, 0, 1, 0, 0), 574_346)):
        network = macro_network(choices).whole
        assert sum(parameter.numel() for parameter in network.parameters()) == params


def test_searches_know_a_proxy_in_standard_deviations_and_are_told_the_accuracy() -> None:
    import pandas as pd
    import proxy_searches
    from proxy_networks import Networks, macro_network
    from proxy_scores import NAMES

    rng = np.random.default_rng(0)
    choices = np.array(list(np.ndindex(2, 2, 2, 2)))
    accuracy = 0.5 + 0.02 * choices.sum(axis=1)
    networks = Networks(choices, accuracy, macro_network, lambda _: None, 32)
    rows = [
        {"inputs": "real", "seed": 0, "choices": row, "params": 2.0 + row[0], "macs": 3.0 + row[1]}
        | {"activations": 1.0, "depth": 1, "seconds": 1.0}
        | dict.fromkeys(NAMES, 1.0)
        | {"swap": float(sum(row))}
        for row in rng.permutation(choices).tolist()  # in another order than the networks
    ]
    task = proxy_searches.problem(networks, pd.DataFrame(rows), ["swap"], initialisations=1)
    assert task.best == pytest.approx(0.58)
    assert task.outcome((1, 1, 0, 0), 0, 0).reward == pytest.approx(0.54)
    beforehand = task.space.known((1, 1, 1, 1))
    assert set(beforehand) == {"params", "macs", "swap"}
    assert math.log(beforehand["swap"]) == pytest.approx(2.0)  # sums of four bits have a deviation of 1
    assert task.space.known((1, 1, 0, 0))["swap"] == pytest.approx(1.0)
    assert proxy_searches.regrets(task, seeds=1)[0, -1] == pytest.approx(0)
