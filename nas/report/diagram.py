"""An architecture as a picture of its stages, what differs from the reference marked."""

from nas.report.axes import WIDTH, picture
from nas.report.markup import Markup, join, tag
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.ops import OWN, activation_words, op_facts
from search_spaces.networks.stage_fields import SILU, kernel_words

ROW = 34.0
COLUMNS = {"op": 28.0, "kernel": 114.0, "expansion": 156.0, "channels": 202.0, "layers": 262.0}
NAMES = {"op": "op", "kernel": "kernel", "expansion": "exp.", "channels": "chan.", "layers": "layers"}
BLOCK = 15.0  # side of a block's square, where they fit
Cells = dict[str, str]


def stage_diagram(architecture: Architecture, *, other: Architecture | None, label: str) -> Markup:
    """A row for each stage, a square for each block; what differs from `other` is bold and coloured."""
    rows = [_ends("stem", architecture.stem_channels, other.stem_channels if other else None, 0)]
    stages = architecture.stages
    for i, stage in enumerate(stages):
        against = _cells(other.stages[i]) if other and i < len(other.stages) else None
        same = _cells(stage) if other is None else against or {}
        rows.append(_row(i + 1, stage, same))
    last = len(stages) + 1
    rows.append(_ends("head", architecture.head_channels, other.head_channels if other else None, last))
    heads = (
        tag("text", NAMES[name], x=COLUMNS[name], y=13.0, text_anchor="start" if name == "op" else "middle")
        for name in ("op", "kernel", "expansion", "channels")
    )
    head = tag("text", NAMES["layers"], x=COLUMNS["layers"] - 20, y=13.0)
    return picture(*heads, head, *rows, label=label, height=22 + ROW * (last + 1))


def _cells(stage: Stage) -> Cells:
    if not stage.layers:
        return {"op": "absent"}
    return {
        "op": op_facts(stage.op).name,
        "kernel": kernel_picture(stage.kernel_size, stage.start_kernel_size),
        "expansion": f"e{stage.expansion_ratio}",
        "channels": str(stage.channels),
        "layers": f"×{stage.layers}",
        "stride": f"/{stage.stride}",
        "squeeze": f"se {stage.se_ratio:g}" if stage.se_ratio else "",
        "activation": activation_words(stage.op, stage.activation),
    }


def kernel_picture(kernel_size: int, start_kernel_size: int) -> str:
    """The kernels of a stage as pictures name them: 3×3, with one before the expansion 5+3, or none."""
    if start_kernel_size:
        return kernel_words(kernel_size, start_kernel_size)
    return f"{kernel_size}×{kernel_size}" if kernel_size else "none"


def _row(number: int, stage: Stage, same: Cells) -> Markup:
    """One stage; a cell is marked that is not in `same`."""
    y = 22 + ROW * number
    cells = _cells(stage)
    shown = {cells["activation"], same.get("activation", SILU)} if stage.layers else set()
    shows_activation = bool(shown - {SILU, OWN})
    marks = [
        tag("line", class_="grid", x1=0.0, x2=WIDTH, y1=y, y2=y),
        tag("text", number, class_="label", x=8.0, y=y + 22),
    ]
    for name in ("op", "kernel", "expansion", "channels"):
        if name in cells:
            class_ = "changed" if same.get(name) != cells[name] else "label"
            anchor = "start" if name == "op" else "middle"
            up = 7 if name == "op" and shows_activation else 0
            marks.append(
                tag("text", cells[name], class_=class_, x=COLUMNS[name], y=y + 22 - up, text_anchor=anchor)
            )
    if shows_activation:  # below the op
        class_ = "changed" if same.get("activation") != cells["activation"] else "label"
        marks.append(tag("text", cells["activation"], class_=class_, x=COLUMNS["op"], y=y + 29))
    if stage.layers:
        marks.append(_blocks(stage, y, changed=same.get("layers") != cells["layers"]))
    return join(marks)


def _blocks(stage: Stage, y: float, *, changed: bool) -> Markup:
    """A square for each block, the first one narrower where it strides; and how many."""
    start, end = COLUMNS["layers"] - 20, WIDTH - 44
    step = min(BLOCK + 4, (end - start) / stage.layers)
    side = min(BLOCK, max(step - 2, 1.5))
    colour = "c2" if op_facts(stage.op).has_full_convolution else "c1"
    squares = [
        tag(
            "rect",
            class_=f"solid {colour}",
            x=start + i * step,
            y=y + 10,
            width=side,
            height=BLOCK,
            rx=2.0,
            opacity=0.55 if i == 0 and stage.stride == 2 else None,
        )
        for i in range(stage.layers)
    ]
    x = start + stage.layers * step + 4
    count = tag("text", f"×{stage.layers}", class_="changed" if changed else "label", x=x, y=y + 22)
    return join([*squares, count])


def _ends(name: str, channels: int, other: int | None, row: int) -> Markup:
    y = 22 + ROW * row
    class_ = "changed" if other is not None and channels != other else "label"
    return join(
        [
            tag("line", class_="grid", x1=0.0, x2=WIDTH, y1=y, y2=y),
            tag("text", name, x=COLUMNS["op"], y=y + 22),
            tag("text", channels, class_=class_, x=COLUMNS["channels"], y=y + 22, text_anchor="middle"),
        ]
    )
