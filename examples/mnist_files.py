"""Read the MNIST digits from the four files in which they were published.

An IDX file is a magic number that tells how many axes the array has, the size of each axis, all
big-endian 32-bit integers, and then one byte for each element.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Examples: TypeAlias = tuple[Array, Array]


def read_mnist(folder: Path) -> tuple[Examples, Examples]:
    """Training and test examples: pixels (n, rows · columns), float32, and labels (n,), 0 to 9.

    Raises ValueError, with one line that names the file, if one is missing or malformed.
    """
    parts = []
    for part in ("train", "t10k"):
        x = read_idx(idx_file(folder, f"{part}-images", 3), 3)
        y = read_idx(idx_file(folder, f"{part}-labels", 1), 1)
        if len(x) != len(y):
            raise ValueError(f"{folder}: {len(x)} {part} images, but {len(y)} labels")
        if y.max() >= 10:
            raise ValueError(f"{folder}: {part} labels must be 0 to 9, but one is {y.max()}")
        parts.append((x.reshape(len(x), -1).astype(np.float32), y.astype(np.int64)))
    train, test = parts
    if train[0].shape[1] != test[0].shape[1]:
        raise ValueError(f"{folder}: training and test images differ in size")
    return train, test


def idx_file(folder: Path, stem: str, axes: int) -> Path:
    """train-images-idx3-ubyte, as published, or with a dot, or with .gz."""
    names = [f"{stem}{dot}idx{axes}-ubyte{gz}" for dot in "-." for gz in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder} has no file {names[0]} (nor one named {', '.join(names[1:])})")


def read_idx(path: Path, axes: int) -> Array:
    """The array in an IDX file of bytes, gzipped or not."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    start = 4 * (axes + 1)
    if len(data) < start:
        raise ValueError(f"{path}: {len(data)} bytes are too few for an IDX header of {start}")
    magic, *shape = np.frombuffer(data, ">u4", count=axes + 1).tolist()
    if magic != 0x800 + axes:
        raise ValueError(
            f"{path}: not this kind of IDX file: magic number {magic}, not {0x800 + axes}"
        )
    size = math.prod(shape)
    if len(data) - start != size:
        sizes = " × ".join(map(str, shape))
        raise ValueError(f"{path}: its header says {sizes} bytes, but {len(data) - start} follow")
    if not size:
        raise ValueError(f"{path}: there is nothing in it")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
