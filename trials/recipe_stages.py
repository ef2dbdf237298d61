"""The lengths of a training's stages, and what is said of a plan that leaves too little to the last one."""


def stage_bounds(epochs: int, count: int, *, final_share: float) -> list[int]:
    """The epochs (from 0) at which `count` training stages begin, and the number of epochs itself.

    Equal stages begin at epoch ceil(epochs * i / count), as in Algorithm 1. With a `final_share` above 0 the
    last stage has that share of the epochs, rounded up, and the others divide the rest equally; each has an
    epoch at least, where there are as many.
    """
    if not final_share or count == 1:
        return [-(-epochs * i // count) for i in range(count + 1)]
    before = max(min(int(epochs * (1 - final_share) + 1e-9), epochs - 1), min(count - 1, epochs - 1))
    return [-(-before * i // (count - 1)) for i in range(count)] + [epochs]
