"""Checkpoints: what was saved comes back to the last bit, or an error does and nothing changes."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, load_file, save

from tinygrad_reg import Tensor, checkpoint, files, nn, optim, random, seed
from tinygrad_reg import functional as F
from tinygrad_reg.checkpoint import FORMAT, CheckpointError

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD with momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1, betas=(0.8, 0.9)),
}
SCHEDULES: dict[str, Callable[..., optim.Schedule]] = {
    "cosine": lambda optimizer: optim.CosineAnnealingLR(optimizer, T_max=7, eta_min=0.01),
    "steps": lambda optimizer: optim.StepLR(optimizer, step_size=2, gamma=0.5),
}
BIT_GENERATORS = ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"]


class Run:
    """A network and all that trains it; each seed makes another."""

    def __init__(
        self, seed: int, optimizer="Adam", schedule="cosine", bits="PCG64", width=3
    ) -> None:
        self.rng = np.random.Generator(getattr(np.random, bits)(seed))
        self.model = nn.Sequential(
            nn.Linear(4, width, rng=self.rng), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Dropout(0.5, rng=self.rng), nn.Linear(width, 2, rng=self.rng),
        )  # fmt: skip
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.schedule = SCHEDULES[schedule](self.optimizer)

    def train(self, steps: int) -> Run:
        for _ in range(steps):
            x = self.rng.standard_normal((5, 4), dtype=np.float32)
            loss = F.cross_entropy(self.model(x), self.rng.integers(2, size=5))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
        return self

    @property
    def parts(self) -> dict[str, Any]:
        return vars(self)

    def save(self, path: Path, **more: Any) -> None:
        checkpoint.save(path, **self.parts, **more)

    def load(self, path: Path) -> dict[str, Any]:
        return checkpoint.load(path, **self.parts)

    def bits(self) -> str:
        """Everything, to the last bit."""
        return exactly({name: checkpoint.state_of(part) for name, part in self.parts.items()})


def exactly(value: Any) -> str:
    """A text that two values share only if they are the same to the last bit, types included."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {exactly(value[key])}' for key in value)}}}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(exactly, value))})"
    if isinstance(value, (np.ndarray, np.generic)):
        digest = hashlib.md5(value.tobytes()).hexdigest()
        return f"{type(value).__name__}({value.dtype}, {value.shape}, {digest})"
    return f"{type(value).__name__}({value!r})"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


# --- What is saved comes back --------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        *({"optimizer": name} for name in OPTIMIZERS),
        *({"schedule": name} for name in SCHEDULES),
        *({"bits": name} for name in BIT_GENERATORS),
    ],
    ids=str,
)
def test_a_run_goes_on_where_it_was(path, made):
    run = Run(0, **made).train(4)
    run.save(path)
    run.train(4)
    other = Run(1, **made).train(1)
    assert other.load(path) == {}
    assert other.train(4).bits() == run.bits()


def test_the_package_s_own_generator_can_be_saved(path):
    checkpoint.save(path, rng=random.generator())
    draws = random.generator().random(3)
    seed(5)
    checkpoint.load(path, rng=random.generator())
    np.testing.assert_array_equal(random.generator().random(3), draws)


@pytest.mark.parametrize("dtype", [str(dtype) for dtype in checkpoint.TYPES])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (4, 6)], ids=str)
def test_arrays_come_back(path, dtype, shape):
    data = np.random.default_rng(0).bytes(8 * math.prod(shape) + 8)
    if dtype == "bool":
        data = bytes(byte % 2 for byte in data)
    array = np.frombuffer(data, dtype)[: math.prod(shape)].reshape(shape)  # NaN of all kinds too
    checkpoint.save(path, array=array)
    back = checkpoint.load(path)["array"]
    assert exactly(back) == exactly(array)
    assert back.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(4, 6)[::2, ::-3],
        np.arange(24.0).reshape(4, 6).T,
        np.broadcast_to(np.float32(3), (2, 3)),
        np.arange(5, dtype=">f4"),
        np.arange(6, dtype=">i8").reshape(2, 3)[:, ::2],
        np.array(5, dtype=">u2"),
    ],
    ids=["strided", "transposed", "broadcast", "big-endian", "both", "0-d"],
)
def test_memory_layout_does_not_matter(path, array):
    checkpoint.save(path, array=array)
    back = checkpoint.load(path)["array"]
    assert back.dtype == array.dtype.newbyteorder("=")
    assert exactly(back) == exactly(array.astype(back.dtype, order="C"))


def test_plain_values_come_back(path):
    values = {
        "step": 7,
        "none": None,
        "numbers": [True, 0, -0.0, 0.1, 5e-324, 2**200, math.inf, -math.inf, math.nan],
        "scalars": (np.float32(0.1), np.float64(0.1), np.int8(3), np.bool_(True)),
        "text": ["", "μ √ 😀", "\ud800", "\0", '"'],
        "nested": {"dict": {"array": "x"}, "": [(), [], {}, ((1,), [2])], "tuple": ()},
        "arrays": [np.arange(3), {"deep": (np.ones((2, 2)),)}],
    }
    checkpoint.save(path, **values)
    assert exactly(checkpoint.load(path)) == exactly(values)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inside: (
        st.lists(inside) | st.lists(inside).map(tuple) | st.dictionaries(st.text(), inside)
    ),
)


@given(value=plain)
def test_every_plain_value_comes_back(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "plain.safetensors"
    checkpoint.save(path, value=value)
    assert exactly(checkpoint.load(path)["value"]) == exactly(value)


def test_only_what_is_asked_for_is_restored(path):
    saved, other = Run(0).train(3), Run(1).train(3)
    saved.save(path, step=3, loss=0.25)
    before = other.bits()
    assert checkpoint.load(path) == {"step": 3, "loss": 0.25}
    assert other.bits() == before
    assert checkpoint.load(path, other.model) == {"step": 3, "loss": 0.25}
    assert exactly(other.model.state_dict()) == exactly(saved.model.state_dict())
    assert exactly(other.optimizer.state_dict()) != exactly(saved.optimizer.state_dict())
    assert other.rng.bit_generator.state != saved.rng.bit_generator.state


def test_other_tools_read_the_arrays(path):
    run = Run(0).train(3)
    run.save(path, order=np.arange(4))
    state = {f"model.{name}": array for name, array in run.model.state_dict().items()}
    for moment in ("first", "second"):
        for i, array in enumerate(getattr(run.optimizer, moment)):
            state[f"optimizer.{moment}.{i}"] = array
    state["order"] = np.arange(4)
    arrays = load_file(path)
    assert exactly(dict(sorted(arrays.items()))) == exactly(dict(sorted(state.items())))
    pytest.importorskip("torch", reason="PyTorch reads safetensors too")
    from safetensors.torch import load_file as load_into_torch

    for name, tensor in load_into_torch(path).items():
        np.testing.assert_array_equal(tensor.numpy(), state[name], strict=True)


def test_the_same_state_gives_the_same_bytes(path):
    Run(0).train(2).save(path, step=2)
    first = path.read_bytes()
    Run(0).train(2).save(path, step=2)
    assert path.read_bytes() == first


# --- What cannot be saved ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Tensor([1.0]), "part is Tensor; what can be saved are None, numbers.*of a tensor, .numpy"),
        (np.zeros(2, np.longdouble), "part is of float128, which .* convert it, e.g. with .astype"),
        (np.zeros(2, complex), "part is of complex128"),
        (np.array(["a"]), "part is of <U1"),
        (np.array([None]), "part is of object"),
        (np.datetime64("2020-01-01"), "part is of datetime64"),
        (np.ma.masked_array([1.0], mask=[True]), "part is MaskedArray"),
        ({"a": [0, {1, 2}]}, "part.a.1 is set"),
        ({"a": {0: 1}}, "part.a is a dict with keys of other types"),
        ([lambda: 0], "part.0 is function"),
        (b"bytes", "part is bytes"),
        ([np.random.default_rng(0)], "part.0 is Generator"),
        (np.random.RandomState(0), "part is RandomState"),
    ],
)
def test_what_cannot_be_saved_is_named_and_the_old_file_stays(path, value, message):
    checkpoint.save(path, step=1)
    before = path.read_bytes()
    if "float128" in message and np.dtype(np.longdouble).name != "float128":
        pytest.skip("long double is an ordinary double here")
    with pytest.raises(TypeError, match=f"checkpoint: {message}"):
        checkpoint.save(path, part=value)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_two_arrays_of_one_name_are_refused(path):
    with pytest.raises(ValueError, match=r"checkpoint: a\.b would stand for two things; rename"):
        checkpoint.save(path, **{"a": {"b": np.ones(2)}, "a.b": np.ones(2)})
    with pytest.raises(ValueError, match="checkpoint: __metadata__ would stand for two things"):
        checkpoint.save(path, __metadata__=np.ones(2))
    assert not path.exists()


# --- Replacing a file ----------------------------------------------------------------------------


def test_a_file_is_on_the_disk_before_it_replaces_the_old_one(path, monkeypatch):
    checkpoint.save(path, step=1)
    calls = []
    sync, replace = files.sync, os.replace
    monkeypatch.setattr(files, "sync", lambda p, f: (calls.append(("sync", p)), sync(p, f)))
    monkeypatch.setattr(
        os, "replace", lambda a, b: (calls.append(("replace", a, b)), replace(a, b))
    )
    checkpoint.save(path, step=2)
    temporary = path.with_name(".partial-run.safetensors")
    assert calls == [("sync", temporary), ("replace", temporary, path), ("sync", path.parent)]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr
)
@pytest.mark.parametrize("where", ["write_bytes", "fsync", "replace"])
def test_an_error_leaves_the_old_file_and_no_other(path, monkeypatch, where, error):
    checkpoint.save(path, step=1)

    def fail(*_):
        assert len(os.listdir(path.parent)) == 2
        raise error

    def write_half(temporary, data):
        temporary.write_text("half")
        fail()

    with monkeypatch.context() as patch:
        if where == "write_bytes":
            patch.setattr(Path, where, write_half)
        else:
            patch.setattr(os, where, fail)
        with pytest.raises(type(error)):
            checkpoint.save(path, step=2)
    assert os.listdir(path.parent) == [path.name]
    assert checkpoint.load(path) == {"step": 1}


def test_what_a_killed_process_leaves_does_not_pile_up(path):
    path.with_name(".partial-run.safetensors").write_bytes(b"half of a file")
    checkpoint.save(path, step=1)
    assert os.listdir(path.parent) == [path.name]
    assert checkpoint.load(path) == {"step": 1}


# --- Files that are not right --------------------------------------------------------------------


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and the bytes of its tensors."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def joined(header: Any, tensors: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


def forged(data: bytes, change: Callable[[Any], None]) -> bytes:
    """The file with its JSON text changed, and a checksum that is right again."""
    header, tensors = split(data)
    content = json.loads(header["__metadata__"][FORMAT])
    del content["sha256"]
    change(content)
    content["sha256"] = checkpoint.checksum(content, load(data))
    header["__metadata__"][FORMAT] = json.dumps(content)
    return joined(header, tensors)


def with_text(change: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """A change of the JSON text, with its old checksum."""

    def changed(data: bytes) -> bytes:
        header, tensors = split(data)
        header["__metadata__"][FORMAT] = change(header["__metadata__"][FORMAT])
        return joined(header, tensors)

    return changed


class WritesMarker:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("marker"),)


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100)
NOT_SAFETENSORS = "not a safetensors file, or damaged, .*; check the path, or take another copy"
NO_CHECKPOINT = "no checkpoint of this version of tinygrad_reg; to read its arrays, use safetensors"
DAMAGED = "damaged, or changed after it was saved .*; take another copy, or an earlier checkpoint"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", NOT_SAFETENSORS),
        (lambda data: data[:5], NOT_SAFETENSORS),
        (lambda data: data[:100], NOT_SAFETENSORS),
        (lambda data: data[:-1], NOT_SAFETENSORS),
        (lambda data: data + b"\0", NOT_SAFETENSORS),
        (lambda data: b"\xff" * 8 + data[8:], NOT_SAFETENSORS),
        (lambda data: (10**8 + 1).to_bytes(8, "little") + data[8:], NOT_SAFETENSORS),
        (lambda data: PNG, NOT_SAFETENSORS),
        (lambda data: b"step,loss\n1,0.5\n", NOT_SAFETENSORS),
        (lambda data: pickle.dumps(WritesMarker()), NOT_SAFETENSORS),
        (lambda data: joined({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"ab"),
         "with types that NumPy lacks"),
        (lambda data: save({"0.weight": np.ones(2)}), NO_CHECKPOINT),
        (lambda data: save({"0.weight": np.ones(2)}, {"format": "pt"}), NO_CHECKPOINT),
        (lambda data: data.replace(FORMAT.encode(), b"tinygrad_reg.checkpoint.2"), NO_CHECKPOINT),
        (lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], DAMAGED),
        (lambda data: data.replace(b'"F32","shape":[4,3]', b'"I32","shape":[4,3]'), DAMAGED),
        (lambda data: data.replace(b'"F32","shape":[4,3]', b'"F32","shape":[3,4]'), DAMAGED),
        (with_text(lambda text: text.replace("0.9", "0.8")), DAMAGED),
        (with_text(lambda text: text[:-1]), DAMAGED),
        (with_text(lambda text: "[" * 100_000), DAMAGED),
        (with_text(lambda text: "7" * 100_000), DAMAGED),
        (with_text(lambda text: "[]"), DAMAGED),
        (with_text(lambda text: "{}"), DAMAGED),
        (lambda data: forged(data, lambda content: content.pop("values")), DAMAGED),
        (lambda data: forged(data, lambda content: content["values"].update(a={"array": "b"})),
         DAMAGED),
        (lambda data: forged(data, lambda content: content["values"].update(a={"code": "b"})),
         DAMAGED),
    ],
)  # fmt: skip
def test_a_bad_file_gets_one_clear_error_and_changes_nothing(path, monkeypatch, change, message):
    monkeypatch.chdir(path.parent)
    Run(0).train(3).save(path, step=3)
    path.write_bytes(change(path.read_bytes()))
    run = Run(1).train(2)
    before = run.bits()
    with pytest.raises(CheckpointError, match=message) as caught:
        run.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert run.bits() == before
    assert os.listdir() == [path.name]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"width": 4}, "saved model does not fit this Sequential, .*: 0.weight is float32 of"),
        ({"optimizer": "AdamW"}, "saved optimizer does not fit this AdamW, which must be made like "
         "the one that was saved: load_state_dict: AdamW.class is 'Adam', but must be 'AdamW'"),
        ({"optimizer": "SGD"}, "SGD.class is 'Adam', but must be 'SGD'"),
        ({"schedule": "steps"}, "saved schedule does not fit this StepLR"),
        ({"bits": "MT19937"}, "saved rng does not fit this Generator, .* is 'PCG64', but must be "
         "'MT19937'"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_change_nothing(path, made, message):
    Run(0).train(3).save(path)
    run = Run(1, **made).train(2)
    before = run.bits()
    with pytest.raises(CheckpointError, match=message) as caught:
        run.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert run.bits() == before


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_missing_and_unexpected_keys_are_named(path, change):
    layers = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2, bias=False))
    fewer = nn.Sequential(layers[0])
    saved, other = (fewer, layers) if change == "missing" else (layers, fewer)
    checkpoint.save(path, saved)
    with pytest.raises(CheckpointError, match=rf"{change} \['1.weight'\]"):
        checkpoint.load(path, other)


def test_asking_for_what_is_not_there_is_an_error(path):
    run = Run(0)
    checkpoint.save(path, run.model, schedule="none")
    with pytest.raises(CheckpointError, match="no state of optimizer, schedule was saved here, "
                       "only of model; ask for that alone"):  # fmt: skip
        checkpoint.load(path, run.model, run.optimizer, schedule=run.schedule)
    with pytest.raises(TypeError, match=r'step is int, .* are returned: load\(path\)\["step"\]'):
        checkpoint.load(path, step=3)
    with pytest.raises(FileNotFoundError):
        checkpoint.load(path.with_name("nowhere"))


def test_ctrl_c_while_loading_changes_nothing(path):
    class Interrupted:
        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            if not pressed:
                pressed.append(True)
                raise KeyboardInterrupt

    pressed: list[bool] = []
    Run(0).train(3).save(path, more=Interrupted())
    run = Run(1).train(2)
    before = run.bits()
    with pytest.raises(KeyboardInterrupt):
        checkpoint.load(path, **run.parts, more=Interrupted())
    assert run.bits() == before


def test_an_object_that_takes_no_state_does_not_hinder_the_others(path):
    class Stubborn:
        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            raise NotImplementedError("later")

    Run(0).train(3).save(path, more=Stubborn())
    run = Run(1).train(2)
    before = run.bits()
    with pytest.raises(CheckpointError, match=r"saved more does not fit this Stubborn, .*: later"):
        checkpoint.load(path, more=Stubborn(), **run.parts)
    assert run.bits() == before


@pytest.mark.parametrize("position", [-1, 625, 2**31 - 1])
@pytest.mark.parametrize(("bits", "name"), [("MT19937", "pos"), ("Philox", "buffer_pos")])
def test_no_generator_is_sent_beyond_its_buffer(path, bits, name, position):
    def lie(content):
        state = content["states"]["rng"]["dict"]
        (state["state"]["dict"] if name == "pos" else state)[name] = position

    rng = np.random.Generator(getattr(np.random, bits)(0))
    checkpoint.save(path, rng=rng)
    path.write_bytes(forged(path.read_bytes(), lie))
    with pytest.raises(CheckpointError, match=f"the generator is at position {position} of"):
        checkpoint.load(path, rng=rng)


# --- Two thousand files that are not right -------------------------------------------------------


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with one or a few accidents."""
    header, tensors = split(data)
    names = [name for name in header if name != "__metadata__"]
    i, j = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    one, two = rng.choice(names, 2, replace=False).tolist()
    kind = rng.integers(14)
    if kind == 0:
        array = np.frombuffer(data, np.uint8).copy()
        for where in rng.integers(0, len(data), rng.integers(1, 5)):
            array[where] ^= 1 << rng.integers(8)
        return array.tobytes()
    if kind == 1:  # in the header, where it hurts most
        where = int(rng.integers(0, len(data) - len(tensors)))
        return data[:where] + rng.bytes(1) + data[where + 1 :]
    if kind == 2:
        return data[:i]
    if kind == 3:
        return data[:i] + data[j:]
    if kind == 4:
        return data[:i] + rng.bytes(int(rng.integers(1, 40))) + data[i:]
    if kind == 5:
        return data[:i] + data[i:j] + data[i:]
    if kind == 6:
        sizes = [0, 1, 10**8, 10**8 + 1, 2**31, 2**63, 2**64 - 1, int(rng.integers(len(data)))]
        return int(rng.choice(np.array(sizes, np.uint64))).to_bytes(8, "little") + data[8:]
    if kind == 7:
        info = header[one]
        info[rng.choice(["dtype", "shape", "data_offsets"])] = {
            0: "F64", 1: "U8", 2: "BF16", 3: "F8_E4M3", 4: [2**62], 5: [-1], 6: [0, 2**64],
            7: [1, *info["shape"]], 8: [], 9: None, 10: [1e300, 2], 11: {"a": 1}, 12: [0, 0],
        }[int(rng.integers(13))]  # fmt: skip
    elif kind == 8:
        header[one], header[two] = header[two], header[one]
    elif kind == 9:
        header[one] = header[two]
    elif kind == 10:
        del header[one]
    elif kind == 11:
        header["__metadata__"] = [
            None, [], {}, "x", {FORMAT: 3}, {FORMAT: "x"}, {FORMAT: "null"}, {FORMAT: "{}"},
            {FORMAT: "[" * 5000}, {FORMAT: '{"a":' * 5000}, {FORMAT: "1e999"}, {FORMAT: "9" * 9999},
            {FORMAT: '{"sha256": NaN, "states": {}, "values": {}}'},
        ][rng.integers(13)]  # fmt: skip
    elif kind == 12:
        text = header["__metadata__"][FORMAT]
        where = int(rng.integers(len(text)))
        some = str(rng.choice(list('0123456789eE+-.,:[]{}"\\ truefalsenull\x00')))
        header["__metadata__"][FORMAT] = text[:where] + some + text[where + rng.integers(2) :]
    else:
        start = int(rng.integers(len(tensors)))
        tensors = tensors[:start] + rng.bytes(int(rng.integers(1, 9))) + tensors[start:]
        tensors = tensors[: len(data) - len(joined(header, b""))]
    return joined(header, tensors)


def lied(data: bytes, rng: np.random.Generator) -> bytes:
    """A file made with malice: something in its JSON text is replaced, with the right checksum."""
    lies = [
        None, True, -1, 2**31, 2**64, 10**400, 1e300, math.nan, "", "SGD", [], {}, [[]],
        {"dict": 0}, {"dict": {}}, {"tuple": 1}, {"array": "no such"}, {"array": "model.0.weight"},
        {"scalar": "model.0.weight"}, {"code": "1"}, {"array": []}, {"array": {}}, {"a": 1, "b": 2},
    ]  # fmt: skip

    def lie(content: Any) -> None:
        places = []

        def visit(node: Any) -> None:
            inside = node if isinstance(node, dict) else range(len(node))
            for key in inside:
                places.append((node, key))
                if isinstance(node[key], (dict, list)):
                    visit(node[key])

        visit(content)
        node, key = places[rng.integers(len(places))]
        node[key] = lies[rng.integers(len(lies))]

    return forged(data, lie)


# What Python's audit reports when something is executed.
EXECUTING = ("exec", "compile", "pickle", "marshal", "os.system", "os.exec", "os.posix_spawn",
             "subprocess", "ctypes", "code.__new__", "function.__new__")  # fmt: skip


@pytest.fixture(scope="module")
def watching() -> Callable[[], AbstractContextManager[list[str]]]:
    """A context that gives what was executed in it."""
    on, events = False, []

    def hook(event: str, _: Any) -> None:
        if on and event.startswith(EXECUTING):
            events.append(event)

    sys.addaudithook(hook)  # for ever: there is no way to remove it

    @contextmanager
    def watch() -> Iterator[list[str]]:
        nonlocal on
        events.clear()
        on = True
        try:
            yield events
        finally:
            on = False

    return watch


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
@pytest.mark.parametrize("change", [mutated, lied])
@pytest.mark.parametrize("bits", ["PCG64", "MT19937"])
def test_mutated_files_are_refused_or_loaded_whole(path, watching, change, bits):
    rng = np.random.default_rng(0)
    saved = Run(0, bits=bits).train(3)
    saved.save(path, step=3, order=rng.permutation(5))
    data = path.read_bytes()
    run = Run(1, bits=bits).train(2)
    before = run.bits()
    original = checkpoint.load(path)
    refused = 0
    for _ in range(1000):
        path.write_bytes(change(data, rng))
        try:
            with watching() as executed:
                values = run.load(path)
        except CheckpointError:
            refused += 1
            assert run.bits() == before
        else:
            if change is mutated:
                assert exactly(values) == exactly(original)
                assert run.bits() == saved.bits()
            run.rng.random(700)  # through the buffer of MT19937 and further
            run = Run(1, bits=bits).train(2)
        assert not executed
    assert refused > 800
    assert os.listdir(path.parent) == [path.name]


def test_nothing_is_unpickled(path, watching, monkeypatch):
    monkeypatch.chdir(path.parent)
    bomb = pickle.dumps(WritesMarker())
    with watching() as executed:
        pickle.loads(bomb)
    assert executed  # so this is how it would look
    Path("marker").unlink()
    for content in (bomb, save({"a": np.frombuffer(bomb, np.uint8)}, {FORMAT: str(bomb)})):
        path.write_bytes(content)
        with watching() as executed, pytest.raises(CheckpointError):
            checkpoint.load(path)
        assert not executed
        assert not Path("marker").exists()


# --- Without safetensors -------------------------------------------------------------------------


def test_only_checkpoints_need_safetensors():
    program = (
        "import sys; sys.modules['safetensors'] = None\n"
        "import tinygrad_reg\n"
        "try:\n    from tinygrad_reg import checkpoint\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'pip install "tinygrad_reg[checkpoint]"' in done.stdout
