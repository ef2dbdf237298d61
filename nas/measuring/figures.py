"""Figures of measured networks: size, times of a training step and of inference, memory."""

from dataclasses import dataclass

from nas.measuring.conditions import Conditions
from trials.trial import InferenceTime, StepTime

OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True, kw_only=True)
class MeasuredTime:
    """Seconds of a training step or of a forward pass, and their ratio to the first network's.

    All are None where the measurement failed; so is the ratio where the first network's failed, and its
    spread where nothing can scatter.
    """

    seconds: float | None = None  # median
    seconds_p10: float | None = None
    seconds_p90: float | None = None
    ratio: float | None = None
    ratio_spread: float | None = None
    rounds: int = 0
    flag: str | None = None  # why the value is uncertain
    failure: str | None = None


NOT_FITTING = MeasuredTime(failure=OUT_OF_MEMORY)


@dataclass(frozen=True, kw_only=True)
class MeasuredInference:
    """A forward pass of a batch."""

    batch_size: int
    time: MeasuredTime

    @property
    def images_per_second(self) -> float | None:
        """Throughput; None where the measurement failed."""
        return self.batch_size / self.time.seconds if self.time.seconds else None


@dataclass(frozen=True, kw_only=True)
class MeasuredNetwork:
    """Size, training step, memory and inference of one network."""

    name: str
    architecture_id: str
    params: int
    macs: int
    activations: int
    step: MeasuredTime
    peak_memory_bytes: int | None  # of a training step, weights included; None: not told, or not measured
    inference: tuple[MeasuredInference, ...]  # (): not measured

    @property
    def times(self) -> tuple[MeasuredTime, ...]:
        """Times of the training step and of inference at each batch."""
        return (self.step, *(inference.time for inference in self.inference))


@dataclass(frozen=True)
class MeasuredNetworks:
    """Networks measured under the same conditions; ratios are to the first one."""

    conditions: Conditions
    networks: tuple[MeasuredNetwork, ...]


def measured_time(measured: StepTime | InferenceTime) -> MeasuredTime:
    """The time of a step or of inference, without its conditions."""
    if isinstance(measured, StepTime):
        return MeasuredTime(
            seconds=measured.step_seconds,
            seconds_p10=measured.step_seconds_p10,
            seconds_p90=measured.step_seconds_p90,
            ratio=measured.step_time_ratio,
            ratio_spread=measured.step_time_ratio_spread,
            rounds=measured.rounds,
            flag=measured.flag,
        )
    return MeasuredTime(
        seconds=measured.inference_seconds,
        seconds_p10=measured.inference_seconds_p10,
        seconds_p90=measured.inference_seconds_p90,
        ratio=measured.inference_time_ratio,
        ratio_spread=measured.inference_time_ratio_spread,
        rounds=measured.rounds,
        flag=measured.flag,
    )


# ---------------------------------------------------------------------- as JSON


def measured_json(figures: MeasuredNetworks) -> dict[str, object]:
    """The figures under the names of a trial's columns, for --json."""
    left_out = ("device", "recipe")
    conditions = {name: value for name, value in vars(figures.conditions).items() if name not in left_out}
    return {**conditions, "networks": [_network_json(network) for network in figures.networks]}


def _network_json(network: MeasuredNetwork) -> dict[str, object]:
    return {
        "name": network.name,
        "architecture_id": network.architecture_id,
        "params": network.params,
        "macs": network.macs,
        "activations": network.activations,
        **_time_json("step", network.step),
        "peak_memory_bytes": network.peak_memory_bytes,
        "inference": [
            {
                "inference_batch_size": inference.batch_size,
                **_time_json("inference", inference.time),
                "images_per_second": inference.images_per_second,
            }
            for inference in network.inference
        ],
    }


def _time_json(kind: str, time: MeasuredTime) -> dict[str, object]:
    return {
        f"{kind}_seconds": time.seconds,
        f"{kind}_seconds_p10": time.seconds_p10,
        f"{kind}_seconds_p90": time.seconds_p90,
        f"{kind}_time_ratio": time.ratio,
        f"{kind}_time_ratio_spread": time.ratio_spread,
        "rounds": time.rounds,
        "timing_flag": time.flag,
        "failure": time.failure,
    }
