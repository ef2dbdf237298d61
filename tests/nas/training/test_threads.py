"""The number of threads of a training on a CPU, by given times."""

import pytest
from clocks import Clock

from nas.training.threads import STEP_SECONDS, asked_threads, fastest_threads


class Machine:
    """Steps whose seconds per image depend on the number of threads alone."""

    def __init__(self, per_image: dict[int, float]) -> None:
        self.per_image, self.clock = per_image, Clock()
        self.threads, self.steps = 0, list[tuple[int, int]]()

    def use(self, threads: int) -> None:
        self.threads = threads

    def step(self, images: int) -> None:
        self.steps.append((self.threads, images))
        self.clock.sleep(images * self.per_image[self.threads])

    def chosen(self, *, cores: int, batch_size: int = 256) -> tuple[int, str]:
        found = fastest_threads(
            self.step, batch_size=batch_size, cores=cores, clock=self.clock, set_threads=self.use
        )
        return found.threads, found.why


@pytest.mark.parametrize(
    ("per_image", "threads"),
    [
        ({1: 0.01, 4: 0.003, 8: 0.002}, 8),
        ({1: 0.01, 4: 0.003, 8: 0.0028}, 4),  # hardly faster: fewer need fewer free cores
        ({1: 0.01, 4: 0.0095, 8: 0.08}, 1),  # others keep the cores busy, and threads wait for each other
    ],
)
def test_a_training_has_the_fewest_threads_that_are_fast(per_image: dict[int, float], threads: int) -> None:
    found, why = Machine(per_image).chosen(cores=8)
    assert found == threads
    assert why.startswith(f"{threads} thread")
    assert "1: 100" in why


def test_the_probe_takes_all_numbers_in_turn_on_images_of_a_short_step() -> None:
    machine = Machine({1: 0.01, 2: 0.01})
    machine.chosen(cores=2)
    assert [threads for threads, _ in machine.steps] == [1, 1] + [1, 2] * 4
    assert {images for _, images in machine.steps[2:]} == {int(STEP_SECONDS / 0.01)}
    assert machine.clock.now < 4


def test_a_large_network_is_probed_on_the_fewest_images() -> None:
    machine = Machine({1: 5.0, 2: 4.0})
    assert machine.chosen(cores=2)[0] == 2
    assert {images for _, images in machine.steps} == {8}


@pytest.mark.parametrize(
    ("asked", "cores", "threads"), [("3", 8, 3), ("", 1, 1), ("", 8, None), ("0", 8, None), ("many", 2, None)]
)
def test_threads_that_are_asked_for_are_not_probed(
    asked: str, cores: int, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert asked_threads(cores) == threads
