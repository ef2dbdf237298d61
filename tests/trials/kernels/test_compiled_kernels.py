"""Own kernels, compiled for GPUs that are not here: what Triton's interpreter lets pass is noticed."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from triton_kernels import interpreting, needs_triton

pytestmark = needs_triton
FLOATS = {"epsilon", "momentum", "decay", "weight_decay", "averaging_decay"}
FEATURES = {"x", "residual", "gate", "out", "gradient", "d_x", "d_means", "means", "d_gate"}
WIDE = {"FACTOR": 8, "ROWS": 32, "CHANNELS": 128}
MERGED = {"CHANNELS": 32, "num_warps": 4}
OF_SAMPLES = {"FACTOR": 8, "ROWS": 8, "CHANNELS": 256, "num_warps": 4}
KERNELS: dict[str, list[tuple[str, dict[str, int]]]] = {
    "triton_norm": [
        ("partial_statistics", WIDE),
        ("merged_statistics", {"RUNNING": 1, "SPLITS": 128, **MERGED}),
        ("apply", {"ACTIVATION": 1, "RESIDUAL": 1, "DROP": 1, "GATE": 1, **WIDE}),
        ("whole_forward", {"RUNNING": 1, "ACTIVATION": 1, "RESIDUAL": 1, "DROP": 1, "APPLIES": 1,
                           "ROWS": 1024, "CHANNELS": 8}),
    ],
    "triton_norm_backward": [
        ("partial_sums", {"ACTIVATION": 1, "DROP": 1, **WIDE}),
        ("merged_sums", {"SPLITS": 128, **MERGED}),
        ("input_gradient", {"ACTIVATION": 1, "DROP": 0, "GATE": 1, **WIDE}),
        ("whole_backward", {"ACTIVATION": 1, "DROP": 1, "ROWS": 1024, "CHANNELS": 8}),
    ],
    "triton_gate": [
        ("pixel_means", OF_SAMPLES),
        ("gate_sums", OF_SAMPLES),
        ("merged_gate_sums", {"SAMPLES": 64, **MERGED}),
    ],
    "triton_update": [("update", {"FACTOR": 8, "SKIPS": 1, "AVERAGES": 1, "BLOCK": 1024, "num_warps": 4})],
}  # fmt: skip
# Kernels that read features of which rows begin at multiples of 16 bytes; the others read little.
VECTORISED = {"partial_statistics", "apply", "partial_sums", "input_gradient", "pixel_means", "gate_sums"}


@pytest.fixture(scope="module", autouse=True)
def to_compile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The kernels as they are compiled, with a cache of these tests' own."""
    with interpreting(really=False), pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize(
    ("module", "name", "constants"), [(m, *kernel) for m, kernels in KERNELS.items() for kernel in kernels]
)
def test_kernels_compile_for_a_gpu_without_spilling(
    module: str, name: str, constants: dict[str, int]
) -> None:
    assembly = compiled(getattr(import_module(f"trials.kernels.{module}"), name), dict(constants))
    assert ".local" not in assembly  # registers spilt to memory
    if name in VECTORISED:
        assert re.search(r"ld\.global\S*\.v4\.b32", assembly)


def test_every_kernel_is_compiled_here() -> None:
    folder = Path(import_module("trials.kernels").__path__[0])
    for module, kernels in KERNELS.items():
        launched = re.findall(r"do_not_specialize=.*\ndef (\w+)", (folder / f"{module}.py").read_text())
        assert {name for name, _ in kernels} == set(launched)
    assert {path.stem for path in folder.glob("triton_*.py")} == set(KERNELS)


def compiled(kernel: Any, constants: dict[str, int], *, capability: int = 90, half: str = "bf16") -> str:
    """The PTX of a kernel for features in half precision, whose pointers are aligned as torch's are."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    options = {"num_warps": constants.pop("num_warps", 8)}
    signature: dict[str, str] = {}
    aligned = {}
    for i, parameter in enumerate(kernel.params):
        argument = parameter.name
        if argument in constants:
            signature[argument] = "constexpr"
        elif argument in FLOATS:
            signature[argument] = "fp32"
        elif parameter.do_not_specialize:
            signature[argument] = "i32"
        else:
            signature[argument] = f"*{half}" if argument in FEATURES else "*fp32"
            aligned[(i,)] = [["tt.divisibility", 16]]
    source = ASTSource(
        kernel,
        signature,
        constexprs={(kernel.arg_names.index(name),): value for name, value in constants.items()},
        attrs=aligned,
    )
    text: str = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm["ptx"]
    return text
