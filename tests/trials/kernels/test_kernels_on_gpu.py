"""Own kernels on a GPU against torch's operators, alone, in networks, and in CUDA graphs."""

from copy import deepcopy

import pytest
import torch
from small_networks import UNROUNDED
from torch import nn
from torch.nn import functional

from search_spaces.networks.network import build_network
from trials.kernels import cuda_probe
from trials.kernels.cuda_norm import KernelBatchNorm2d
from trials.recipe import Ramp, Recipe
from trials.training.cuda_graphs import recorder_of
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

pytestmark = pytest.mark.gpu
RECIPE = Recipe(epochs=1, batch_size=32, resolution=Ramp(16, 16), stochastic_depth=0.3, averaging_decay=0.9)
STEPS = 20


@pytest.mark.parametrize("dtype", cuda_probe.TOLERANCE)
@pytest.mark.parametrize("shape", [*cuda_probe.SHAPES, (3, 5, 31), (1, 300, 33), (2, 513, 7), (7, 8, 1)])
def test_layers_agree_with_torchs(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    device = torch.device("cuda:0")
    found = cuda_probe.compare(device, dtype, recorder_of(device), shape)
    assert found.difference <= cuda_probe.TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", cuda_probe.TOLERANCE)
def test_running_statistics_and_evaluation_agree(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(40, eps=1e-3, device="cuda:0")
    wide, norm = deepcopy(plain).double(), KernelBatchNorm2d(plain, activation=True)
    x = (3 * torch.randn(8, 40, 33, 33, device="cuda:0") + 5).to(dtype).to(memory_format=torch.channels_last)
    norm(x)
    wide(x.double())
    torch.testing.assert_close(norm.running_mean, wide.running_mean.float(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, wide.running_var.float(), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        found, wanted = norm.eval()(x), functional.silu(wide.eval()(x.double()))
    assert float((found.double() - wanted).abs().max()) < cuda_probe.TOLERANCE[dtype] * 10


def losses(monkeypatch: pytest.MonkeyPatch, *, own: bool, graphs: bool, precision: str) -> list[float]:
    monkeypatch.setenv(cuda_probe.FUSED_KERNELS, str(int(own)))
    torch.manual_seed(0)
    device = torch.device("cuda:0")
    network = build_network(UNROUNDED, num_classes=10, stochastic_depth=0.3)
    step = TrainingStep(network, RECIPE, device=device, precision=precision, cuda_graphs=graphs)
    assert step.kernels.used == own
    calls = step.graphed(step)
    batch = SyntheticBatch.random(batch_size=32, resolution=16, num_classes=10, device=device)
    step.learning_rate.fill_(1e-3)
    torch.manual_seed(1)
    found = []
    for i in range(STEPS):
        calls(batch.images.roll(i, dims=2), batch.labels)
        found.append(step.read_totals()[0])
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_steps_with_own_kernels_follow_torchs(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = losses(monkeypatch, own=True, graphs=True, precision=precision)
    torchs = losses(monkeypatch, own=False, graphs=True, precision=precision)
    assert own == pytest.approx(torchs, rel=3e-2, abs=3e-3)


def test_own_kernels_compute_the_same_in_a_graph_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = [losses(monkeypatch, own=True, graphs=graphs, precision="bf16") for graphs in (True, False)]
    assert curves[0] == pytest.approx(curves[1], rel=2e-2, abs=2e-3)


def test_kernels_run_on_the_device_of_their_tensors() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    norm = nn.BatchNorm2d(16, device="cuda:1")
    x = torch.randn(4, 16, 9, 9, device="cuda:1").to(memory_format=torch.channels_last)
    wanted = functional.silu(deepcopy(norm)(x))
    torch.testing.assert_close(KernelBatchNorm2d(norm, activation=True)(x), wanted, rtol=1e-4, atol=1e-4)
