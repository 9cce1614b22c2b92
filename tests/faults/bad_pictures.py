"""Pictures that go wrong, or might: their bytes, and what must come of them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Bytes = NDArray[np.uint8]
RED, GREEN, BLUE, WHITE = (250, 10, 20), (10, 240, 30), (20, 30, 230), (255, 255, 255)


@dataclass(frozen=True)
class Picture:
    """One file.

    Attributes:
        pixels: that it must be decoded to, uint8 [H, W, 3]; None: it must be named and left out.
        near: how far a pixel may be from these.
    """

    data: bytes
    pixels: Bytes | None
    near: int = 0


def quarters() -> Bytes:
    """Four colours, uint8 [32, 64, 3]: no turn and no flip looks like another one."""
    pixels = np.empty((32, 64, 3), np.uint8)
    pixels[:16, :32], pixels[:16, 32:] = RED, GREEN
    pixels[16:, :32], pixels[16:, 32:] = BLUE, WHITE
    return pixels


def encoded(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    """A Pillow image, or an array, as a file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG file by hand: `rows` as they are before compression."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def turned(pixels: Bytes, orientation: int) -> Bytes:
    """How a camera stores what is shown as `pixels`, by the EXIF orientation that it notes."""
    turns: Mapping[int, Callable[[Bytes], Bytes]] = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }
    return np.ascontiguousarray(turns[orientation](pixels))


def _with_orientation(orientation: int, kind: str) -> Picture:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(turned(quarters(), orientation), kind, exif=exif, **QUALITY.get(kind, {}))
    return Picture(data, quarters(), NEAR.get(kind, 0))


QUALITY = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
NEAR = {"JPEG": 8}
BROKEN_EXIF = b"Exif\0\0II*\0\xff\xff\xff\x7f"


def _grey(values: NDArray[Any]) -> Bytes:
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


@cache
def good_pictures() -> Mapping[str, Picture]:
    """Pictures that must be read, by the names of their files."""
    base, near = quarters(), NEAR
    found = {
        f"plain.{kind.lower()}": Picture(
            encoded(base, kind, **QUALITY.get(kind, {})), base, near.get(kind, 0)
        )
        for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
    }
    found |= {
        f"turned {number}.{kind.lower()}": _with_orientation(number, kind)
        for number in range(1, 9)
        for kind in ("PNG", "JPEG")
    }
    return found | _deep_pictures() | _layered_pictures() | _odd_pictures()


def _deep_pictures() -> dict[str, Picture]:
    """16 bits, floats, CMYK, palettes."""
    base, ramp = quarters(), np.arange(256).reshape(8, 32)
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in base)
    floats = np.array([[0, 0.5, np.nan, np.inf], [1, -np.inf, 0.25, 1]], np.float32)
    shown = np.array([[0, 128, 0, 0], [255, 0, 64, 255]])
    clear = Image.new("P", (2, 1))
    clear.putpalette([10, 20, 30, 40, 50, 60])
    clear.putpixel((1, 0), 1)
    cmyk = encoded(Image.fromarray(base).convert("CMYK"), "JPEG", quality=95, subsampling=0)
    return {
        "16 bit grey.png": Picture(encoded((ramp * 257).astype(np.uint16)), _grey(ramp)),
        "16 bit grey.tif": Picture(encoded((ramp * 257).astype(np.uint16), "TIFF"), _grey(ramp)),
        "16 bit colour.png": Picture(png(64, 32, 16, 2, rows), base),
        "nan.tif": Picture(encoded(floats, "TIFF"), _grey(shown)),
        "cmyk adobe.jpg": Picture(cmyk, base, 12),
        "cmyk.tif": Picture(encoded(Image.fromarray(base).convert("CMYK"), "TIFF"), base, 2),
        "transparent palette.png": Picture(
            encoded(clear, transparency=0), np.array([[[255] * 3, [40, 50, 60]]], np.uint8)
        ),
        "one bit.png": Picture(encoded(ramp > 99), _grey(255 * (ramp > 99))),
    }


def _layered_pictures() -> dict[str, Picture]:
    """Transparency, and several frames or pages, of which the first one counts."""
    base = quarters()
    frames = {"save_all": True, "append_images": [Image.new("RGB", (64, 32), "black")] * 3}
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    grey = Image.new("LA", (3, 2), (0, 0))
    image = Image.fromarray(base)
    return {
        "half transparent.png": Picture(
            encoded(half), np.full((4, 4, 3), (255, 127, 127), np.uint8), 1
        ),
        "transparent grey.png": Picture(encoded(grey), np.full((2, 3, 3), 255, np.uint8)),
        "animated.gif": Picture(encoded(image, "GIF", **frames), base),
        "animated.png": Picture(encoded(image, "PNG", **frames), base),
        "animated.webp": Picture(encoded(image, "WEBP", lossless=True, **frames), base),
        "pages.tif": Picture(encoded(image, "TIFF", **frames), base),
    }


def _odd_pictures() -> dict[str, Picture]:
    """Odd sizes, names that lie, and what stands beside the pixels."""
    base, line = quarters(), np.zeros((1, 20_000, 3), np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {
        "one pixel.png": Picture(encoded(base[:1, :1]), base[:1, :1]),
        "wide.png": Picture(encoded(line), line),
        "high.png": Picture(encoded(line.transpose(1, 0, 2).copy()), line.transpose(1, 0, 2)),
        "a png.jpg": Picture(encoded(base), base),
        "a gif.bmp": Picture(encoded(base, "GIF"), base),
        "profile.png": Picture(encoded(base, icc_profile=srgb), base),
        "broken profile.png": Picture(encoded(base, icc_profile=b"no profile" * 9), base),
        "broken profile.jpg": Picture(
            encoded(base, "JPEG", icc_profile=b"x" * 99, **QUALITY["JPEG"]), base, NEAR["JPEG"]
        ),
        "broken exif.png": Picture(encoded(base, exif=BROKEN_EXIF), base),
        "broken exif.jpg": Picture(
            encoded(base, "JPEG", exif=BROKEN_EXIF, **QUALITY["JPEG"]), base, NEAR["JPEG"]
        ),
        "with more behind.png": Picture(encoded(base) + bytes(5000), base),
    }


@cache
def broken_pictures() -> Mapping[str, Picture]:
    """Files that are no picture, by their names."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    html = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>"
    long_text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**28)))
    files = {
        "empty.jpg": b"",
        "page.jpg": html,
        "words.png": "so lange Wörter".encode(),
        "noise.gif": np.random.default_rng(1).bytes(500),
        "program.jpg": b"\x7fELF" + bytes(100),
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
        "archive.png": b"PK\3\4" + bytes(100),
        "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "bomb.png": png(100_000, 100_000, 8, 0, bytes(1000)),
        "bomb beyond measure.png": png(2**31 - 1, 2**31 - 1, 8, 0, bytes(1000)),
        "no width.png": png(0, 5, 8, 0, bytes(5)),
        "bomb.gif": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\0;",
        "bomb.pgm": b"P5 99999 99999 255\n" + bytes(100),
        "bomb.bmp": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 2**30, 2**30, 1, 24, *[0] * 6),
        # 100 kB that become 100 million pixels, all of them there
        "inflates.png": png(10_000, 10_000, 1, 0, bytes(10_000 * 1251)),
        "long comment.png": png(1, 1, 8, 0, bytes(2), long_text),
    }  # fmt: skip
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        whole = encoded(noise, kind)
        files[f"half.{kind.lower()}"] = whole[: len(whole) // 2]
        files[f"signature.{kind.lower()}"] = whole[:8]
    return {name: Picture(data, None) for name, data in files.items()}
