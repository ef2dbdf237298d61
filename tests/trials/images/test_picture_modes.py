"""Pictures of every mode, of 1 to 32 bits a sample: within 1/255 of a reference in floats, or refused."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from pictures import saved
from PIL import Image, TiffImagePlugin, TiffTags

from trials.images.decode import SUFFIXES, UnreadablePictureError, decode

SIDE = 24
KEPT = {  # modes that lossless formats keep
    "PNG": ("L", "LA", "RGB", "RGBA"),
    "TIFF": ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"),
    "PPM": ("L", "RGB"),
    "BMP": ("L", "RGB"),
    "WEBP": ("RGB", "RGBA"),
}
SEEDS = 3
Reference = Callable[[np.ndarray], np.ndarray]  # values of a mode to (H, W, 3) floats, 0-255


def _over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return 255.0 + (rgb - 255.0) * (alpha[..., None] / 255.0)


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None].astype(float), 3, axis=2)


def _cmyk(values: np.ndarray) -> np.ndarray:
    ink = values.astype(float) / 255.0
    return 255.0 * (1.0 - ink[..., :3]) * (1.0 - ink[..., 3:])


def _ycbcr(values: np.ndarray) -> np.ndarray:
    """JFIF's equations."""
    y, cb, cr = (values[..., i].astype(float) - (0, 128, 128)[i] for i in range(3))
    return np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1).clip(0, 255)


MODES: dict[str, tuple[int, Reference]] = {  # channels, reference
    "L": (1, _grey),
    "LA": (2, lambda v: _over_white(_grey(v[..., 0]), v[..., 1])),
    "RGB": (3, lambda v: v.astype(float)),
    "RGBA": (4, lambda v: _over_white(v[..., :3].astype(float), v[..., 3])),
    "CMYK": (4, _cmyk),
    "YCbCr": (3, _ycbcr),
}


def _noise(mode: str, seed: int) -> np.ndarray:
    channels = MODES[mode][0]
    values = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, channels), dtype=np.uint8)
    return values[..., 0] if channels == 1 else values


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in KEPT.items() for mode in modes])
def test_pictures_of_eight_bits_are_decoded_to_their_colours(kind: str, mode: str) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    for seed in range(SEEDS):
        values = _noise(mode, seed)
        data = saved(Image.fromarray(values, mode=mode), kind, **options)
        assert Image.open(io.BytesIO(data)).mode == mode
        assert np.abs(decode(data, SIDE) - MODES[mode][1](values)).max() <= 1.0


@pytest.mark.parametrize(
    ("bits", "channels"), [(1, 1), (2, 1), (4, 1), *((bits, n) for bits in (8, 16) for n in (1, 2, 3, 4))]
)
def test_png_files_of_every_depth_are_scaled_to_their_range(bits: int, channels: int) -> None:
    for seed in range(SEEDS):
        values = np.random.default_rng(seed).integers(0, 2**bits, (SIDE, SIDE, channels))
        scaled = 255.0 * values / (2**bits - 1)
        expected = np.repeat(scaled[..., :1], 3, axis=2) if channels < 3 else scaled[..., :3]
        if channels in (2, 4):
            expected = _over_white(expected, scaled[..., -1])
        found = decode(_png(values, bits), SIDE)
        assert np.abs(found - expected).max() <= 1.0


def test_a_transparent_colour_of_sixteen_bits_is_compared_whole() -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (SIDE, SIDE, 3))
    values[0, :2] = (40_000, 30_000, 20_000)
    values[0, 1, 0] += 1  # another colour, of which the upper eight bits are the same
    expected = values / 257.0
    expected[0, 0] = 255.0
    found = decode(_png(values, 16, transparent=(40_000, 30_000, 20_000)), SIDE)
    assert np.abs(found - expected).max() <= 1.0


def test_pictures_of_sixteen_bits_are_turned_upright() -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (SIDE, SIDE, 4))
    exif = Image.Exif()
    exif[_tag("Orientation")] = 6
    data = _png(values, 16, exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    assert np.array_equal(decode(data, SIDE), np.rot90(decode(_png(values, 16), SIDE), -1))


def _png(values: np.ndarray, bits: int, *, transparent: tuple[int, ...] = (), exif: bytes = b"") -> bytes:
    """A PNG file of samples (H, W, channels) of that depth, written by the specification."""
    height, width, channels = values.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = []
    for row in values.reshape(height, -1):
        if bits == 16:
            packed = row.astype(">u2").tobytes()
        else:
            per_byte = 8 // bits
            padded = np.pad(row, (0, -len(row) % per_byte)).reshape(-1, per_byte)
            shifts = np.arange(per_byte - 1, -1, -1) * bits
            packed = (padded << shifts).sum(axis=1).astype(np.uint8).tobytes()
        lines.append(b"\0" + packed)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"".join(lines)))
    if transparent:
        body = chunk(b"tRNS", np.array(transparent, ">u2").tobytes()) + body
    if exif:
        body = chunk(b"eXIf", exif) + body
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("shape", [(SIDE, SIDE, 1), (SIDE, SIDE, 3), (SIDE, SIDE, 4)])
@pytest.mark.parametrize("bits", [8, 12])
def test_few_bits_in_sixteen_are_refused_instead_of_coming_out_black(
    bits: int, shape: tuple[int, ...]
) -> None:
    values = np.random.default_rng(0).integers(0, 2**bits, shape)
    with pytest.raises(
        UnreadablePictureError, match=r"16 bits a sample, but all below .*convert it to 8 bits"
    ):
        decode(_png(values, 16), SIDE)


def test_a_black_picture_of_sixteen_bits_is_black() -> None:
    assert not decode(_png(np.zeros((SIDE, SIDE, 1), int), 16), SIDE).any()


def _tiff(values: np.ndarray, **tags: float) -> bytes:
    """A TIFF file with tags of the names that Pillow knows."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        info[_tag(name)] = value
    return saved(Image.fromarray(values), "TIFF", tiffinfo=info)


def _tag(name: str) -> int:
    return next(number for number, tag in TiffTags.TAGS_V2.items() if tag.name == name)


def test_sixteen_bit_tiff_is_scaled_from_its_range_in_bits_or_in_a_tag() -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (SIDE, SIDE)).astype(np.uint16)
    assert np.abs(decode(_tiff(values), SIDE)[..., 0] - values / 257.0).max() <= 0.5
    deep = (values >> 4).astype(np.uint16)  # 12 bits of data
    with pytest.raises(UnreadablePictureError, match="16 bits a sample, but all below"):
        decode(_tiff(deep), SIDE)
    assert np.abs(decode(_tiff(deep, MaxSampleValue=4095), SIDE)[..., 0] - deep * (255 / 4095)).max() <= 0.5


def _raw_tiff(values: np.ndarray, *, order: str, colour: int, packed: bool, **tags: int) -> bytes:
    """A TIFF file of samples (H, W, channels), 8 or 16 bits by their type; each tag once for each channel."""
    height, width, channels = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if packed else data
    bits = 8 * values.dtype.itemsize
    entries = {"ImageWidth": [width], "ImageLength": [height], "BitsPerSample": [bits] * channels,
               "Compression": [8 if packed else 1], "PhotometricInterpretation": [colour],
               "StripOffsets": [8], "SamplesPerPixel": [channels], "RowsPerStrip": [height],
               "StripByteCounts": [len(data)]}  # fmt: skip
    entries |= {name: [value] * (1 if name == "ExtraSamples" else channels) for name, value in tags.items()}
    start = 8 + len(data) + len(data) % 2
    directory, more = struct.pack(f"{order}H", len(entries)), b""
    for number, numbers in sorted((_tag(name), numbers) for name, numbers in entries.items()):
        packed_numbers = struct.pack(f"{order}{len(numbers)}I", *numbers)
        at = struct.pack(f"{order}I", start + 6 + 12 * len(entries) + len(more))
        directory += struct.pack(f"{order}HHI", number, 4, len(numbers))
        directory += packed_numbers if len(numbers) == 1 else at
        more += packed_numbers if len(numbers) > 1 else b""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    return head + data + bytes(len(data) % 2) + directory + bytes(4) + more


def _of_sixteen_bits(channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**16, (SIDE, SIDE, channels)).astype(np.uint16)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_of_sixteen_bits_in_several_channels_is_decoded_to_its_colours(order: str, packed: bool) -> None:
    def found(values: np.ndarray, colour: int = 2, **tags: int) -> np.ndarray:
        return decode(_raw_tiff(values, order=order, colour=colour, packed=packed, **tags), SIDE)

    colours, four = _of_sixteen_bits(3), _of_sixteen_bits(4)
    assert np.abs(found(colours) - colours / 257.0).max() <= 1.0
    over = _over_white(four[..., :3] / 257.0, four[..., 3] / 257.0)
    assert np.abs(found(four, ExtraSamples=2) - over).max() <= 1.0
    times_alpha = (four[..., :3] * (four[..., 3:] / 65_535.0)).astype(np.uint16)
    premultiplied = np.concatenate([times_alpha, four[..., 3:]], axis=-1)
    assert np.abs(found(premultiplied, ExtraSamples=1) - over).max() <= 1.0
    assert np.abs(found(four, ExtraSamples=0) - four[..., :3] / 257.0).max() <= 1.0
    assert np.abs(found(four, colour=5) - _cmyk(four / 257.0)).max() <= 1.0
    shallow = colours >> 2  # 14 bits
    assert np.abs(found(shallow, MaxSampleValue=16_383) - shallow * (255 / 16_383)).max() <= 1.0
    with pytest.raises(
        UnreadablePictureError, match=r"values up to 65,\d+, but the file says that 255 is white"
    ):
        found(colours, MaxSampleValue=255)


def test_signed_numbers_and_what_is_no_number_are_refused() -> None:
    signed = np.random.default_rng(0).integers(0, 128, (SIDE, SIDE, 3)).astype(np.uint8)
    with pytest.raises(UnreadablePictureError, match="signed"):
        decode(_raw_tiff(signed[..., :1], order="<", colour=1, packed=False, SampleFormat=2), SIDE)
    values = np.full((SIDE, SIDE), 0.5, np.float32)
    values[3, 4] = np.nan
    with pytest.raises(UnreadablePictureError, match="values that are no numbers"):
        decode(_tiff(values, SMinSampleValue=0.0, SMaxSampleValue=1.0), SIDE)


def test_sixteen_bit_tiff_in_which_white_is_zero_is_not_a_negative() -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (SIDE, SIDE)).astype(np.uint16)
    data = bytearray(_tiff(values))
    at = data.index(struct.pack("<HHI", 262, 3, 1)) + 8
    assert data[at] == 1, "black is zero"
    data[at] = 0
    assert np.abs(decode(bytes(data), SIDE)[..., 0] - (255.0 - values / 257.0)).max() <= 0.5


@pytest.mark.parametrize("kind", ["float32", "int32"])
def test_floats_and_long_integers_are_refused_unless_the_file_says_their_range(kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 1000, (SIDE, SIDE)).astype(kind)
    with pytest.raises(UnreadablePictureError, match="nothing says which is white; convert it to 8 bits"):
        decode(_tiff(values), SIDE)
    if kind == "float32":
        said = decode(_tiff(values, SMinSampleValue=0.0, SMaxSampleValue=999.0), SIDE)
        assert np.abs(said[..., 0] - values * 255.0 / 999.0).max() <= 1.0


@pytest.mark.parametrize("largest", [255, 1023, 4095, 65_535])
def test_portable_greymaps_are_scaled_from_the_largest_value_that_they_name(largest: int) -> None:
    values = np.random.default_rng(0).integers(0, largest + 1, (SIDE, SIDE))
    samples = values.astype(">u2" if largest > 255 else np.uint8).tobytes()
    data = f"P5\n{SIDE} {SIDE}\n{largest}\n".encode() + samples
    assert np.abs(decode(data, SIDE)[..., 0] - 255.0 * values / largest).max() <= 1.0


def test_what_has_the_suffix_of_a_picture_is_decoded() -> None:
    """A flat colour, which lossy formats keep, too, in a file of each format by its usual suffix."""
    kinds = {"jpg": "JPEG", "jfif": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF"}
    kinds |= {"tif": "TIFF", "ppm": "PPM", "avif": "AVIF"}
    for suffix, kind in kinds.items():
        if suffix == "avif" and ".avif" not in SUFFIXES:
            continue
        assert f".{suffix}" in SUFFIXES
        data = saved(Image.new("RGB", (SIDE, SIDE), (200, 100, 50)), kind)
        assert np.abs(decode(data, SIDE).astype(int) - (200, 100, 50)).max() <= 4, kind
