"""The measurements of a GPU, those of most worth first, each with its share of the time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A measurement: `code` is the module and the function in it that yields its rows."""

    name: str
    title: str
    code: str
    share: float  # of the time, over that of all steps


STEPS = (
    Step("tests", "tests that need a GPU", "benchmarks.gpu.gpu_tests:measure", 2),
    Step("parity", "training steps as a graph against eager ones", "benchmarks.gpu.graph_parity:measure", 1),
    Step("kernels", "own kernels against torch's", "benchmarks.gpu.own_kernels:measure", 1.5),
    Step("steps", "training steps against the roofline", "benchmarks.gpu.training_steps:measure", 1.5),
    Step("timing", "step time repeated, beside a training, in another process",
         "benchmarks.gpu.repeated_timing:measure", 3),
    Step("trials", "whole trials against a plain and a good script",
         "benchmarks.gpu.trials_per_hour:measure", 6),
    Step("search", "a search by the command line", "benchmarks.gpu.whole_search:measure", 3),
    Step("memory", "device memory between trials", "benchmarks.gpu.memory_between_trials:measure", 1.5),
    Step("full", "full training at its image sizes", "benchmarks.gpu.full_training:measure", 1.5),
    Step("blocks", "step time predicted from block times", "benchmarks.gpu.block_table:measure", 1.5),
    Step("shared", "two workers on the GPU against one", "benchmarks.gpu.shared_gpu:measure", 2),
    Step("two", "one training on two GPUs", "benchmarks.gpu.two_gpus:measure", 1),
)  # fmt: skip
CLOSING_SECONDS = 20.0  # that a step has beyond its limit to end by itself
LEAST_SECONDS = 10.0  # of a step; with less time left it is not begun


def allotted(step: Step, steps: tuple[Step, ...], seconds_left: float) -> float:
    """Seconds that a step may take: its share of what is left, among it and the steps after it."""
    rest = steps[steps.index(step) :]
    return seconds_left * step.share / sum(each.share for each in rest)
