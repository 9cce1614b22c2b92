"""Real pictures of every format, damaged: a picture of the right shape, or one that is named."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from bad_pictures import broken_pictures, chunk, encoded, good_pictures
from campaign import Trial
from PIL import Image
from wild_text import Rng, pick

from convgraft.data import BrokenImage, decode, read_resized
from convgraft.data.decode import claimed_size
from convgraft.serve.decoding import decode_picture
from convgraft.serve.refusal import Refusal

SIZE = 16
REASON = re.compile(r"is [^\n]{1,300}")
ADDRESS = re.compile(r" at 0x[0-9a-f]+|object at")
REPOSITORY = Path(__file__).parents[2]


@cache
def whole_files() -> Mapping[str, bytes]:
    """Files to damage, by name: made on the spot, and real ones where there are some."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(0, 4, (48, 64, 3)), axis=0) + 128
    image = Image.fromarray(smooth.clip(0, 255).astype(np.uint8))
    more = {"save_all": True, "append_images": [image.rotate(90)]}
    made = {
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "grey.jpg": encoded(image.convert("L"), "JPEG"),
        "large.jpg": encoded(image.resize((200, 160)), "JPEG"),
        "restarts.jpg": encoded(image, "JPEG", restart_marker_blocks=2),
        "interlaced palette.png": encoded(image.quantize(16), bits=4),
        "alpha.png": encoded(image.convert("RGBA")),
        "frames.gif": encoded(image, "GIF", **more),
        "frames.webp": encoded(image, "WEBP", **more),
        "alpha.webp": encoded(image.convert("RGBA"), "WEBP", lossless=True),
        "lzw.tif": encoded(image, "TIFF", compression="tiff_lzw"),
        "deflate.tif": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tif": encoded(image, "TIFF", compression="jpeg"),
        "fax.tif": encoded(image.convert("1"), "TIFF", compression="group4"),
        "packbits.tif": encoded(image, "TIFF", compression="packbits"),
        "pages.tif": encoded(image, "TIFF", **more),
        "palette.bmp": encoded(image.quantize(16), "BMP"),
        "grey.pgm": encoded(image.convert("L"), "PPM"),
    }
    plain = {name: one.data for name, one in good_pictures().items() if len(one.data) < 20_000}
    return {**made, **plain, **_real_files()}


def _real_files() -> dict[str, bytes]:
    place = os.environ.get("CONVGRAFT_DATA", REPOSITORY.parent / "shared" / "data")
    found = sorted(Path(place, "natural_images").glob("*/*.jpg"))[::900]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in found}


def one_mutated(seed: int, number: int) -> Trial:
    """Damage one file in one to three ways, and decode it in all ways there are."""
    rng = np.random.default_rng([seed, number])
    files = whole_files()
    name = pick(rng, list(files))
    data = files[name]
    ways = [pick(rng, list(WAYS)) for _ in range(int(rng.integers(1, 4)))]
    for way in ways:
        data = WAYS[way](rng, data or b"x")
    what = f"mutated {number} of seed {seed}: {name}, {', '.join(ways)}"
    return Trial(what, wrong_with(data, name))


def wrong_with(data: bytes, name: str) -> str:
    """What is wrong with how a file is read: nothing, or a few words."""
    shown, refused = _tried(lambda: decode(data, id=name))
    again, refused_again = _tried(lambda: decode(data, id=name))
    small, small_refused = _tried(lambda: read_resized(data, SIZE, id=name))
    for reason in filter(None, (refused, small_refused)):
        if not REASON.fullmatch(reason) or ADDRESS.search(reason) or "Error" in reason:
            return f"that is no reason: {reason}"
    if refused != refused_again or (shown is not None and not bool((shown == again).all())):
        return "it is read otherwise the second time"
    if shown is None and small is not None and "large" not in name:
        return f"it is shown small and not whole: {refused}"
    if shown is not None:
        claimed = claimed_size(data) or (0, 0)
        if shown.shape[0] != 3 or sorted(shown.shape[1:]) != sorted(claimed):
            return f"it has the shape {tuple(shown.shape)}, and claims {claimed}"
    if small is not None and small.shape != (3, SIZE, SIZE):
        return f"it is resized to {tuple(small.shape)}"
    return _wrong_served(data, small)


def _tried(read: Callable) -> tuple:
    try:
        return read(), None
    except BrokenImage as error:
        return None, error.reason


def _wrong_served(data: bytes, small: object) -> str:
    """What is wrong with how `serve` reads it."""
    try:
        served = decode_picture(data, SIZE, pixels=10_000_000, name="images[0]")
    except Refusal as error:
        return "" if small is None or error.status == 413 else f"serve refuses it: {error}"
    return "" if small is not None and (served == np.asarray(small)).all() else "serve reads it"


def _flips(rng: Rng, data: bytes) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(len(data), size=int(rng.integers(1, 20))):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _header(rng: Rng, data: bytes) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(min(64, len(data)), size=int(rng.integers(1, 4))):
        changed[place] = pick(rng, (0, 1, 127, 128, 255, int(rng.integers(256))))
    return bytes(changed)


def _cut(rng: Rng, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data)))]


def _inserted(rng: Rng, data: bytes) -> bytes:
    place = int(rng.integers(len(data)))
    noise = pick(rng, (rng.bytes(int(rng.integers(1, 500))), bytes(300), b"\xff" * 50))
    return data[:place] + noise + data[place:]


def _left_out(rng: Rng, data: bytes) -> bytes:
    first = int(rng.integers(len(data)))
    return data[:first] + data[first + int(rng.integers(1, 300)) :]


def _blocks_swapped(rng: Rng, data: bytes) -> bytes:
    one, other, third = sorted(int(place) for place in rng.integers(len(data), size=3))
    return data[:one] + data[other:third] + data[one:other] + data[third:]


def _spliced(rng: Rng, data: bytes) -> bytes:
    files = {**whole_files(), "bomb": broken_pictures()["bomb.png"].data}
    other = files[pick(rng, list(files))]
    return data[: int(rng.integers(len(data)))] + other[int(rng.integers(len(other))) :]


def _chunks_changed(rng: Rng, data: bytes) -> bytes:
    """Chunks of a PNG swapped, doubled or changed, each with a checksum that fits."""
    chunks = _chunks(data)
    if not chunks:
        return _flips(rng, data)
    one, other = (int(place) for place in rng.integers(len(chunks), size=2))
    chance = rng.random()
    if chance < 0.25:
        chunks[one], chunks[other] = chunks[other], chunks[one]
    elif chance < 0.4:
        chunks.insert(one, chunks[other])
    else:
        kind, body = chunks[one]
        chunks[one] = (kind, _flips(rng, body) if body else rng.bytes(5))
    return data[:8] + b"".join(chunk(kind, body) for kind, body in chunks)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while data.startswith(b"\x89PNG") and place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


WAYS: Mapping[str, Callable[[Rng, bytes], bytes]] = {
    "bits flipped": _flips,
    "header changed": _header,
    "cut": _cut,
    "inserted": _inserted,
    "left out": _left_out,
    "blocks swapped": _blocks_swapped,
    "spliced": _spliced,
    "chunks changed": _chunks_changed,
}
