"""Checkpoints: all that a run needs to go on where it was, in one file that other tools can read.

A checkpoint is a tree of named parts.  Its arrays are tensors of the safetensors format, called by
their paths (`model.0.weight`, `optimizer.first.2`); all else is one JSON text in the metadata of
the file, and so is a checksum.  Nothing is pickled: to load a file executes nothing.

    from tinygrad_reg import checkpoint

    checkpoint.save("run.safetensors", model, optimizer, rng, step=100)
    step = checkpoint.load("run.safetensors", model, optimizer, rng)["step"]
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from .files import replacing, write
from .optim import fitted

try:
    from safetensors import numpy as safetensors
except ImportError as error:
    raise ImportError(
        'checkpoint: this needs safetensors: pip install "tinygrad_reg[checkpoint]"'
    ) from error

__all__ = ["CheckpointError", "load", "replacing", "save"]

Array: TypeAlias = npt.NDArray[Any]

FORMAT = "tinygrad_reg.checkpoint.1"  # how the JSON text is called in the metadata
TYPES = [
    np.dtype(name)
    for name in [
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64",
    ]
]  # fmt: skip


class CheckpointError(ValueError):
    """A file cannot be loaded, and nothing of it was."""


@runtime_checkable
class HasState(Protocol):
    """Whatever gives and takes its state: modules, optimizers, schedules."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any, /) -> Any: ...


Part: TypeAlias = HasState | np.random.Generator


def save(
    path: str | os.PathLike[str],
    model: Part | None = None,
    optimizer: Part | None = None,
    rng: Part | None = None,
    step: Any = None,
    **more: Any,
) -> None:
    """Write these parts to a file; if that fails, the file stays as it was.

    A part is anything with `state_dict` and `load_state_dict`, a NumPy generator (the package's own
    is `random.generator()`), or a plain value: None, numbers, strings and arrays, also in lists,
    tuples and dictionaries with strings as keys.  Name more parts by keyword: `schedule=schedule`.

    Raises TypeError for anything else, and OSError if the file cannot be written.
    """
    parts = given(model=model, optimizer=optimizer, rng=rng, step=step) | more
    arrays: dict[str, Array] = {}
    states = {n: encoded(n, state_of(p), arrays) for n, p in parts.items() if isinstance(p, Part)}
    values = {n: encoded(n, p, arrays) for n, p in parts.items() if n not in states}
    content = {"states": states, "values": values}
    text = json.dumps(content | {"sha256": checksum(content, arrays)})
    data = safetensors.save(arrays, {FORMAT: text})
    write(path, data, "checkpoint")


def load(
    path: str | os.PathLike[str],
    model: Part | None = None,
    optimizer: Part | None = None,
    rng: Part | None = None,
    **more: Part,
) -> dict[str, Any]:
    """Restore these parts, and no others, from a file, and return the plain values in it.

    Raises CheckpointError if the file is damaged or foreign, lacks one of the parts, or has one
    that does not fit.  Then, and after Ctrl-C, all of them are as before.
    """
    parts = given(model=model, optimizer=optimizer, rng=rng) | more
    for name, part in parts.items():
        if not isinstance(part, Part):
            raise TypeError(
                f"checkpoint: {name} is {type(part).__name__}, which cannot be loaded into; plain "
                f'values are returned: load(path)["{name}"]'
            )
    states, values = read(path)
    missing = [name for name in parts if name not in states]
    if missing:
        raise CheckpointError(
            f"{path}: no state of {', '.join(missing)} was saved here, only of "
            f"{', '.join(states) or 'nothing'}; ask for that alone"
        )
    before = {name: state_of(part) for name, part in parts.items()}
    try:
        for name, part in parts.items():
            restore(part, states[name])
    except BaseException as error:
        for other, part in parts.items():
            with suppress(Exception):  # of an object that cannot even take its own state
                restore(part, before[other])
        if not isinstance(error, Exception):
            raise
        raise CheckpointError(
            f"{path}: the saved {name} does not fit this {type(parts[name]).__name__}, which must "
            f"be made like the one that was saved: {error.args[0] if error.args else repr(error)}"
        ) from error
    return values


# --- Parts and their states ----------------------------------------------------------------------


def given(**parts: Any) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if part is not None}


def state_of(part: Part) -> Any:
    return part.bit_generator.state if isinstance(part, np.random.Generator) else part.state_dict()


def restore(part: Part, state: Any) -> None:
    if not isinstance(part, np.random.Generator):
        part.load_state_dict(state)
        return
    state = fitted("the generator", part.bit_generator.state, state)
    # NumPy believes these two, and would read memory beyond its buffers.
    for position, end in ((state["state"].get("pos", 0), 624), (state.get("buffer_pos", 0), 4)):
        if not 0 <= position <= end:
            raise ValueError(f"the generator is at position {position} of {end}")
    part.bit_generator.state = state


# --- Files ---------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The states and the plain values in a file, by the names of their parts."""
    data = Path(path).read_bytes()
    try:
        arrays = safetensors.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except Exception as error:
        raise CheckpointError(
            f"{path}: not a safetensors file, or damaged, or with types that NumPy lacks "
            f"({in_words(error)}); check the path, or take another copy"
        ) from error
    text = (header.get("__metadata__") or {}).get(FORMAT)
    if text is None:
        raise CheckpointError(
            f"{path}: a safetensors file, but no checkpoint of this version of tinygrad_reg; "
            "to read its arrays, use safetensors.numpy.load_file"
        )
    try:
        content = json.loads(text)
        if content.pop("sha256") != checksum(content, arrays):
            raise ValueError("the checksum is wrong")
        states, values = (
            {name: decoded(node, arrays) for name, node in content[kind].items()}
            for kind in ("states", "values")
        )
    except Exception as error:
        raise CheckpointError(
            f"{path}: damaged, or changed after it was saved ({in_words(error)}); take another "
            "copy, or an earlier checkpoint"
        ) from error
    return states, values


def in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def checksum(content: Any, arrays: dict[str, Array]) -> str:
    """SHA-256 of everything in a file."""
    digest = hashlib.sha256(json.dumps(content).encode())
    for name, array in sorted(arrays.items()):
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def encoded(name: str, value: Any, arrays: dict[str, Array]) -> Any:
    """A value as JSON can hold it, with names in the place of arrays, which go to `arrays`."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [encoded(f"{name}.{i}", item, arrays) for i, item in enumerate(value)]
    if kind is tuple:
        return {"tuple": encoded(name, list(value), arrays)}
    if kind is dict and all(type(key) is str for key in value):
        return {"dict": {key: encoded(f"{name}.{key}", value[key], arrays) for key in value}}
    if kind is np.ndarray or isinstance(value, np.generic):
        native = value.dtype.newbyteorder("=")
        if native not in TYPES:
            raise TypeError(
                f"checkpoint: {name} is of {value.dtype}, which checkpoints cannot hold; convert "
                "it, e.g. with .astype(np.float64)"
            )
        if name in arrays or name == "__metadata__":
            raise ValueError(f"checkpoint: {name} would stand for two things; rename one of them")
        arrays[name] = np.asarray(value, native, order="C")
        return {"array" if kind is np.ndarray else "scalar": name}
    what = "a dict with keys of other types" if kind is dict else kind.__name__
    raise TypeError(
        f"checkpoint: {name} is {what}; what can be saved are None, numbers, strings, arrays (of a "
        "tensor, .numpy()), lists, tuples, dicts with strings as keys, generators, and what has "
        "state_dict and load_state_dict"
    )


def decoded(node: Any, arrays: dict[str, Array]) -> Any:
    """What `encoded` made this of."""
    if isinstance(node, list):
        return [decoded(item, arrays) for item in node]
    if not isinstance(node, dict):
        return node
    ((kind, inside),) = node.items()
    if kind == "dict":
        return {key: decoded(item, arrays) for key, item in inside.items()}
    if kind == "tuple":
        return tuple(decoded(inside, arrays))
    return arrays[inside] if kind == "array" else arrays[inside][()]
