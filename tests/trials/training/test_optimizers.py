"""SGD, AdamW and Muon on flat vectors, against torch's own, and what all optimizers have in common."""

from collections.abc import Callable

import pytest
import torch
from small_networks import SMALL
from torch import Tensor, nn

from search_spaces.networks.network import build_network
from trials.recipe import Ramp, Recipe
from trials.training.adamw import AdamW
from trials.training.build_optimizer import build_optimizer
from trials.training.flat_parameters import CUDA_ALIGNMENT, FlatParameters
from trials.training.muon import Muon, hidden_matrices, matrix_shape, orthogonalised
from trials.training.optimizer import Optimizer
from trials.training.sgd import SGD

OTHERS = ("sgd", "adamw", "muon")
Gradients = list[list[Tensor]]  # of each step, of each parameter


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, groups=8, bias=False),
        nn.Conv2d(8, 6, 3),
        nn.Conv2d(6, 12, 1),
        nn.Conv2d(6, 12, 1),
        nn.Linear(12, 5),
    )
    layers.stem = layers[0]  # type: ignore[assignment]
    return layers.to(memory_format=torch.channels_last)


def gradients(model: nn.Module, steps: int) -> Gradients:
    torch.manual_seed(1)
    return [[torch.randn_like(parameter) for parameter in model.parameters()] for _ in range(steps)]


def give(model: nn.Module, grads: list[Tensor]) -> None:
    for parameter, gradient in zip(model.parameters(), grads, strict=True):
        parameter.grad = gradient.clone()


def optimizer(name: str, model: nn.Module, alignment: int = 1) -> Optimizer:
    if name == "muon":
        first = hidden_matrices(model)
        flat = FlatParameters(model, alignment=alignment, first=first)
        return Muon(flat, matrices=len(first), weight_decay=0.1, dtype=torch.float32)
    flat = FlatParameters(model, alignment=alignment)
    return SGD(flat, weight_decay=0.1) if name == "sgd" else AdamW(flat, weight_decay=0.1)


def trained(name: str, *, steps: int = 8, alignment: int = 1) -> tuple[nn.Module, Optimizer]:
    model = network()
    found = optimizer(name, model, alignment)
    for i, grads in enumerate(gradients(model, steps)):
        give(model, grads)
        found.parameters.collect()
        found.step(torch.tensor(0.01 * (1 + i % 3)))
    return model, found


def groups(
    model: nn.Module, is_matrix: Callable[[Tensor], bool] = lambda _: False
) -> list[dict[str, object]]:
    """Parameters with weight decay and without, as torch's optimizers take them."""
    rest = [parameter for parameter in model.parameters() if not is_matrix(parameter)]
    return [
        {"params": [p for p in rest if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
    ]


def step_torchs(model: nn.Module, optimizers: list[torch.optim.Optimizer], *, steps: int = 8) -> nn.Module:
    for i, grads in enumerate(gradients(model, steps)):
        give(model, grads)
        for each in optimizers:
            for group in each.param_groups:
                group["lr"] = 0.01 * (1 + i % 3)
            each.step()
    return model


def assert_equal(found: nn.Module, wanted: nn.Module) -> None:
    for (name, own), other in zip(found.named_parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(
            own.data, other.data, rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("alignment", [1, CUDA_ALIGNMENT])
def test_sgd_is_torchs_with_nesterov_momentum(alignment: int) -> None:
    model = network()
    theirs = torch.optim.SGD(groups(model), lr=0.01, momentum=0.9, nesterov=True)
    assert_equal(trained("sgd", alignment=alignment)[0], step_torchs(model, [theirs]))


def test_sgd_without_momentum_is_torchs() -> None:
    model, wanted = network(), network()
    ours = SGD(FlatParameters(model), momentum=0.0, weight_decay=0.0)
    (grads,) = gradients(model, 1)
    give(model, grads)
    ours.parameters.collect()
    ours.step(torch.tensor(0.01))
    give(wanted, grads)
    torch.optim.SGD(wanted.parameters(), lr=0.01).step()
    assert_equal(model, wanted)


@pytest.mark.parametrize("alignment", [1, CUDA_ALIGNMENT])
def test_adamw_is_torchs(alignment: int) -> None:
    model = network()
    theirs = torch.optim.AdamW(groups(model), lr=0.01)  # type: ignore[arg-type]
    assert_equal(trained("adamw", alignment=alignment)[0], step_torchs(model, [theirs]))


@pytest.mark.parametrize("alignment", [1, CUDA_ALIGNMENT])
def test_muon_is_torchs_on_matrices_and_adamw_on_the_rest(
    alignment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()
    matrices = hidden_matrices(model)
    chosen = {id(parameter) for parameter in matrices}
    # Torch's takes two dimensions alone: flattened, which is a view of the kernel.
    model = model.to(memory_format=torch.contiguous_format)
    flat = [nn.Parameter(parameter.data.flatten(1)) for parameter in matrices]
    muon = torch.optim.Muon(flat, lr=0.01, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(groups(model, lambda p: id(p) in chosen), lr=0.01, betas=(0.95, 0.999))  # type: ignore[arg-type]
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    for i, grads in enumerate(gradients(network(), 8)):
        give(model, grads)
        for matrix, own in zip(flat, matrices, strict=True):
            assert own.grad is not None
            matrix.grad = own.grad.flatten(1).contiguous()
        for each in (muon, adamw):
            for group in each.param_groups:
                group["lr"] = 0.01 * (1 + i % 3)
            each.step()
    found = trained("muon", alignment=alignment)[0]
    for own, other in zip(hidden_matrices(found), flat, strict=True):
        torch.testing.assert_close(own.data.flatten(1), other.data, rtol=1e-4, atol=1e-5)
    others = [p for p in found.parameters() if not any(p is each for each in hidden_matrices(found))]
    wanted = [p for p in model.parameters() if id(p) not in chosen]
    for own, other in zip(others, wanted, strict=True):
        torch.testing.assert_close(own.data, other.data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 72), (12, 6), (16, 16)])
def test_matrices_in_bfloat16_are_orthogonalised_as_by_torch(shape: tuple[int, int]) -> None:
    from torch.optim._muon import DEFAULT_A, DEFAULT_B, DEFAULT_C, _zeropower_via_newtonschulz

    torch.manual_seed(0)
    batch = torch.randn(3, *shape)
    found = orthogonalised(batch, torch.bfloat16).float()
    for own, matrix in zip(found, batch, strict=True):
        theirs = _zeropower_via_newtonschulz(matrix, (DEFAULT_A, DEFAULT_B, DEFAULT_C), 5, 1e-7).float()
        assert (own - theirs).norm() / theirs.norm() < 0.03
    singular = torch.linalg.svdvals(orthogonalised(batch, torch.float32))
    assert float(singular.min()) > 0.6
    assert float(singular.max()) < 1.3


def test_muon_has_the_full_convolutions_of_blocks_and_head_alone() -> None:
    built = build_network(SMALL, num_classes=5)
    names = {id(parameter): name for name, parameter in built.named_parameters()}
    chosen = hidden_matrices(built)
    found = {names[id(parameter)] for parameter in chosen}
    wanted = {
        f"{name}.weight"
        for name, module in built.named_modules()
        if isinstance(module, nn.Conv2d) and module.groups == 1 and not name.startswith("stem")
    }
    assert found == wanted
    assert any(name.startswith("head") for name in found)
    shapes = [matrix_shape(parameter) for parameter in chosen]
    assert shapes == sorted(shapes)  # so that each shape is one batch


@pytest.mark.parametrize("name", OTHERS)
def test_skipped_update_changes_nothing_whatever_the_gradients_are(name: str) -> None:
    _, found = trained(name, steps=2)
    flat = found.parameters
    before = [flat.values.clone(), *(tensor.clone() for tensor in found.state().values())]
    flat.grads.copy_(torch.where(torch.arange(len(flat.grads)) % 2 == 0, torch.inf, torch.nan))
    found.step(torch.tensor(0.01), skipped=torch.tensor(1.0))
    after = [flat.values, *found.state().values()]
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("name", OTHERS)
def test_update_that_is_not_skipped_is_the_same_as_one_that_cannot_be(name: str) -> None:
    vectors = []
    for skipped in (None, torch.tensor(0.0)):
        model, found = trained(name, steps=2)
        (grads,) = gradients(model, 1)
        give(model, grads)
        found.parameters.collect()
        found.step(torch.tensor(0.01), skipped=skipped)
        vectors.append(torch.cat([found.parameters.values, *(t.flatten() for t in found.state().values())]))
    assert torch.equal(*vectors)


@pytest.mark.parametrize("name", OTHERS)
def test_state_without_gaps_continues_on_vectors_with_gaps(name: str) -> None:
    """Three steps, a state as a checkpoint holds it, and three more on aligned vectors."""
    plain_model, plain = trained(name, steps=3)
    model = network()
    aligned = optimizer(name, model, CUDA_ALIGNMENT)
    assert aligned.parameters.values_layout.has_gaps
    flat = plain.parameters
    aligned.parameters.values_layout.unpack(flat.values_layout.packed(flat.values), aligned.parameters.values)
    aligned.load({key: plain.layout(key).packed(tensor) for key, tensor in plain.state().items()})
    for each, own in ((plain_model, plain), (model, aligned)):
        for grads in gradients(each, 3):
            give(each, grads)
            own.parameters.collect()
            own.step(torch.tensor(0.01))
    assert_equal(model, plain_model)


@pytest.mark.parametrize(("name", "kind"), [("sgd", SGD), ("adamw", AdamW), ("muon", Muon)])
def test_recipe_names_the_optimizer_and_its_settings(name: str, kind: type[Optimizer]) -> None:
    recipe = Recipe(
        epochs=1,
        batch_size=8,
        resolution=Ramp(32, 32),
        optimizer=name,
        momentum=0.8,
        weight_decay=0.02,  # type: ignore[arg-type]
    )
    built = build_optimizer(build_network(SMALL, num_classes=5), recipe, precision="bf16", fused=True)
    assert type(built) is kind
    assert (built.momentum, built.weight_decay) == (0.8, 0.02)  # type: ignore[attr-defined]
    if isinstance(built, Muon):
        assert built.dtype is torch.bfloat16
    if not isinstance(built, SGD):
        assert (built.decay, built.epsilon) == (0.999, 1e-8)  # type: ignore[attr-defined]
