"""Colours of 16 bits a sample, of which Pillow keeps the upper 8: read whole, from two decodings of a file.

Pillow names the layout of samples by their byte order ("RGB;16B") and keeps the byte that is the upper one in
it. Told the other order, it keeps the lower one.
"""

import io
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from trials.images.deep_pictures import UnknownRangeError, check_range, range_of

OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
CHANNELS = {"RGB": 3, "RGBX": 3, "RGBA": 4, "RGBa": 4, "CMYK": 4, "LA": 2}  # by Pillow's name of the layout
ROWS = 256  # converted at once, as floats take four times the room


@dataclass(frozen=True)
class DeepColours:
    """A picture of several channels of 16 bits each, opened and not yet decoded."""

    opened: Image.Image
    layout: str  # see CHANNELS
    halves: tuple[Image.Image, ...]  # that decode to upper and lower bytes; one that decodes to both

    @classmethod
    def of(cls, opened: Image.Image) -> "DeepColours":
        """Opens the file again for each half.

        Raises:
            UnknownRangeError: its samples lie otherwise, or its numbers are signed.
        """
        range_of(opened)
        layout, _, order = _raw_mode(opened).partition(";16")
        stream = getattr(opened, "fp", None)
        kind = opened.format
        if layout not in CHANNELS or order not in OTHER_ORDER or stream is None or kind is None:
            raise UnknownRangeError(f"more than 8 bits a sample of {opened.mode}; convert it to 8 bits")
        stream.seek(0)
        data = stream.read()
        if layout == "LA":  # has one order alone, but its bytes are four channels of 8 bits
            return cls(opened, layout, (_opened(data, kind, "RGBA"),))
        # Colours that are multiplied by alpha are wanted as they are, too.
        plain = layout.replace("a", "A")
        orders = (order, OTHER_ORDER[order])
        return cls(opened, layout, tuple(_opened(data, kind, f"{plain};16{each}") for each in orders))

    def to_bytes(self, upright: tuple[Image.Image, ...]) -> np.ndarray:
        """Decodes to (H, W, 3) uint8, rounded, over white; `upright`: the halves, decoded and turned.

        Raises:
            UnknownRangeError: nothing says the range, or values are beyond it.
        """
        channels = CHANNELS[self.layout]
        arrays = [np.asarray(half) for half in upright]
        if len(arrays) == 1:
            arrays = [arrays[0][..., 0::2], arrays[0][..., 1::2]]
        values = (arrays[0][..., :channels].astype(np.uint16) << 8) | arrays[1][..., :channels]
        low, high, is_said = range_of(self.opened)
        colours = values[..., : channels - 1] if self.layout in ("LA", "RGBA", "RGBa") else values
        check_range(int(colours.max()), high, is_said=is_said)
        transparent = self.opened.info.get("transparency")
        out = np.empty((*values.shape[:2], 3), np.uint8)
        for top in range(0, len(values), ROWS):
            rows = values[top : top + ROWS]
            scaled = self._over_white(((rows - low) / (high - low)).clip(0.0, 1.0))
            if isinstance(transparent, tuple):  # one colour that is transparent
                scaled[(rows == transparent).all(axis=-1)] = 1.0
            out[top : top + ROWS] = 255.0 * scaled.clip(0.0, 1.0) + 0.5
        return out

    def _over_white(self, values: np.ndarray) -> np.ndarray:
        """Channels (H, W, C), 0-1, as red, green and blue or as grey, (H, W, 3 or 1)."""
        if self.layout == "CMYK":
            return (1.0 - values[..., :3]) * (1.0 - values[..., 3:])
        if self.layout in ("RGB", "RGBX"):
            return values
        colours, alpha = values[..., :-1], values[..., -1:]
        return colours * (1.0 if self.layout == "RGBa" else alpha) + 1.0 - alpha


def _raw_mode(opened: Image.Image) -> str:
    """Pillow's name of the layout in the file; empty where its parts have several."""
    names = {_arguments(tile)[0] for tile in getattr(opened, "tile", [])}
    return str(names.pop()) if len(names) == 1 else ""


def _arguments(tile: Any) -> tuple[Any, ...]:
    """The arguments of a decoder of Pillow's; the first is the layout."""
    return (tile.args,) if isinstance(tile.args, str) else tuple(tile.args or ("",))


def _opened(data: bytes, kind: str, raw_mode: str) -> Image.Image:
    """A file opened to be decoded as if its samples had that layout."""
    picture: Any = Image.open(io.BytesIO(data), formats=[kind])
    picture.tile = [tile._replace(args=(raw_mode, *_arguments(tile)[1:])) for tile in picture.tile]
    return picture
