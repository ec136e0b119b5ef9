"""Pictures of random noise as an image folder, for what needs labelled pictures but not their content."""

import struct
import zlib

import numpy as np


def png(pixels):
    """Bytes of an 8-bit RGB picture, height x width x 3."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # each behind its filter: none

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def image_folder(folder, classes=2, pictures=2, size=224):
    """`folder`/train/<class>/<picture>.png, the same in every run."""
    random = np.random.default_rng(0)
    for name in range(classes):
        place = folder / "train" / str(name)
        place.mkdir(parents=True, exist_ok=True)
        for i in range(pictures):
            (place / f"{i}.png").write_bytes(png(random.integers(0, 256, (size, size, 3), dtype=np.uint8)))
    return folder
