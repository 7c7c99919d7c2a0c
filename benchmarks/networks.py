"""One training step of a GPT, an LSTM and a CNN, as people write them, beside PyTorch's own layers.

    pip install -e ".[benchmark]" && python benchmarks/networks.py --threads 1

Each network is written here twice, on the same parameters: with tinygrad_reg, which runs it as it
stands and compiled, and with PyTorch.  They train by AdamW on softmax cross-entropy, in float32.
First they prove that they compute the same steps.

    gpt-64, gpt-128   4 blocks of causal attention with 4 heads, width 64 or 128, on 32 or 64 tokens
    lstm              128 units on 32 tokens; PyTorch's is `torch.nn.LSTM`
    cnn               two convolutions, 3×3, each with relu and max pooling, on 32×32 pixels; a
                      convolution is written as one product with all windows, side by side
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from statistics import median, quantiles
from typing import Any

import numpy as np
from train_step import Array, DisagreementError, command, end, machine, ratios, timed, whole

import tinygrad_reg as tg
from tinygrad_reg import Tensor, nn, optim
from tinygrad_reg import functional as F

CHECKED_STEPS = 4
TOLERANCE = 2e-4  # in the loss: the networks are deeper than those of train_step.py
LR = 1e-3
VOCABULARY = 65  # letters and signs, as in Shakespeare's works

Parameters = dict[str, Any]


# --- A GPT ---------------------------------------------------------------------------------------


class GPT:
    """Embeddings, and blocks of attention and an MLP behind layer norms (Radford et al. 2019)."""

    heads, blocks = 4, 4

    def __init__(self, width: int, tokens: int, examples: int) -> None:
        self.width, self.tokens, self.examples = width, tokens, examples

    def parameters(self, rng: np.random.Generator) -> dict[str, Array]:
        d = self.width
        shapes = {"tokens": (VOCABULARY, d), "positions": (self.tokens, d)}
        for i in range(self.blocks):
            shapes |= {
                f"{i}.norm1": (d,), f"{i}.qkv": (d, 3 * d), f"{i}.out": (d, d),
                f"{i}.norm2": (d,), f"{i}.up": (d, 4 * d), f"{i}.up_bias": (4 * d,),
                f"{i}.down": (4 * d, d), f"{i}.down_bias": (d,),
            }  # fmt: skip
        shapes |= {"norm": (d,), "head": (d, VOCABULARY)}
        return {
            name: np.ones(shape) if "norm" in name else 0.05 * rng.standard_normal(shape)
            for name, shape in shapes.items()
        }

    def batch(self, rng: np.random.Generator) -> tuple[Array, Array]:
        text = rng.integers(VOCABULARY, size=(self.examples, self.tokens + 1))
        return text[:, :-1], text[:, 1:].reshape(-1)

    def ours(self, p: Parameters, x: Array) -> Tensor:
        n, t, d, heads = *x.shape, self.width, self.heads
        future = np.triu(np.full((t, t), -np.inf, np.float32), 1)

        def norm(x: Tensor, gain: Tensor) -> Tensor:
            centred = x - x.mean(axis=-1, keepdims=True)
            return centred / ((centred * centred).mean(axis=-1, keepdims=True) + 1e-5) ** 0.5 * gain

        def gelu(x: Tensor) -> Tensor:
            return 0.5 * x * (1 + F.tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))))

        h = p["tokens"][x] + p["positions"]
        for i in range(self.blocks):
            q, k, v = (
                (norm(h, p[f"{i}.norm1"]) @ p[f"{i}.qkv"])
                .reshape(n, t, 3, heads, d // heads)
                .transpose(2, 0, 3, 1, 4)
            )
            weights = F.softmax(q @ k.swapaxes(-1, -2) * (d // heads) ** -0.5 + future)
            h = h + (weights @ v).transpose(0, 2, 1, 3).reshape(n, t, d) @ p[f"{i}.out"]
            up = gelu(norm(h, p[f"{i}.norm2"]) @ p[f"{i}.up"] + p[f"{i}.up_bias"])
            h = h + up @ p[f"{i}.down"] + p[f"{i}.down_bias"]
        return (norm(h, p["norm"]) @ p["head"]).reshape(n * t, VOCABULARY)

    def torch(self, p: Parameters, x: Any) -> Any:
        functional = importlib.import_module("torch.nn.functional")
        n, t, d, heads = *x.shape, self.width, self.heads

        def norm(x: Any, gain: Any) -> Any:
            return functional.layer_norm(x, (d,), gain)

        h = functional.embedding(x, p["tokens"]) + p["positions"]
        for i in range(self.blocks):
            qkv = (norm(h, p[f"{i}.norm1"]) @ p[f"{i}.qkv"]).view(n, t, 3, heads, d // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            found = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            h = h + found.transpose(1, 2).reshape(n, t, d) @ p[f"{i}.out"]
            up = norm(h, p[f"{i}.norm2"]) @ p[f"{i}.up"] + p[f"{i}.up_bias"]
            up = functional.gelu(up, approximate="tanh")
            h = h + up @ p[f"{i}.down"] + p[f"{i}.down_bias"]
        return (norm(h, p["norm"]) @ p["head"]).view(n * t, VOCABULARY)


# --- An LSTM -------------------------------------------------------------------------------------


class LSTM:
    """Embeddings, long short-term memory (Hochreiter & Schmidhuber 1997), and a linear layer."""

    width, units, tokens, examples = 64, 128, 32, 32

    def parameters(self, rng: np.random.Generator) -> dict[str, Array]:
        d, u = self.width, self.units
        shapes = {
            "tokens": (VOCABULARY, d), "input": (d, 4 * u), "hidden": (u, 4 * u), "bias": (4 * u,),
            "head": (u, VOCABULARY),
        }  # fmt: skip
        return {name: 0.1 * rng.standard_normal(shape) for name, shape in shapes.items()}

    def batch(self, rng: np.random.Generator) -> tuple[Array, Array]:
        text = rng.integers(VOCABULARY, size=(self.examples, self.tokens + 1))
        return text[:, :-1], text[:, 1:].reshape(-1)

    def ours(self, p: Parameters, x: Array) -> Tensor:
        n, t, u = *x.shape, self.units
        inputs = p["tokens"][x] @ p["input"] + p["bias"]
        h: Any = np.zeros((n, u), np.float32)
        c: Any = np.zeros((n, u), np.float32)
        outputs = []
        for time in range(t):
            i, f, g, o = np.split(inputs[:, time] + h @ p["hidden"], 4, axis=1)
            c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
            h = F.sigmoid(o) * F.tanh(c)
            outputs.append(h)
        return np.stack(outputs, axis=1).reshape(n * t, u) @ p["head"]

    def torch(self, p: Parameters, x: Any) -> Any:
        torch = importlib.import_module("torch")
        n, t, u = *x.shape, self.units
        start = torch.zeros(1, n, u)
        weights = [p["input"].T, p["hidden"].T, p["bias"], torch.zeros(4 * u)]
        inputs = torch.nn.functional.embedding(x, p["tokens"])
        found, _, _ = torch.lstm(
            inputs, [start, start], weights, True, 1, 0.0, True, False, batch_first=True
        )
        return found.reshape(n * t, u) @ p["head"]


# --- A CNN ---------------------------------------------------------------------------------------


class CNN:
    """Two convolutions with max pooling, and a linear layer (LeCun et al. 1998)."""

    examples, channels = 32, (3, 16, 32)

    def parameters(self, rng: np.random.Generator) -> dict[str, Array]:
        a, b, c = self.channels
        shapes = {"conv1": (9 * a, b), "conv2": (9 * b, c), "head": (8 * 8 * c, 10)}
        return {
            name: rng.standard_normal(shape) / np.sqrt(shape[0]) for name, shape in shapes.items()
        } | {"bias1": np.zeros(b), "bias2": np.zeros(c), "bias": np.zeros(10)}

    def batch(self, rng: np.random.Generator) -> tuple[Array, Array]:
        x = rng.standard_normal((self.examples, 32, 32, self.channels[0]), dtype=np.float32)
        return x, rng.integers(10, size=self.examples)

    def ours(self, p: Parameters, x: Array) -> Tensor:
        def convolution(x: Any, weight: Tensor, bias: Tensor) -> Tensor:
            """x (n, height, width, channels); the weight is (9 · channels, outputs)."""
            _, height, width, _ = x.shape
            x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
            windows = [x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
            return np.concatenate(windows, axis=-1) @ weight + bias

        def pooled(x: Tensor) -> Tensor:
            n, height, width, channels = x.shape
            return x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))

        for i in ("1", "2"):
            x = pooled(F.relu(convolution(x, p[f"conv{i}"], p[f"bias{i}"])))
        return x.reshape(len(x), -1) @ p["head"] + p["bias"]

    def torch(self, p: Parameters, x: Any) -> Any:
        functional = importlib.import_module("torch.nn.functional")
        x = x.permute(0, 3, 1, 2).contiguous()
        for i in ("1", "2"):
            weight = p[f"conv{i}"]
            filters = weight.view(3, 3, -1, weight.shape[1]).permute(3, 2, 0, 1)
            x = functional.relu(functional.conv2d(x, filters, p[f"bias{i}"], padding=1))
            x = functional.max_pool2d(x, 2)
        return x.permute(0, 2, 3, 1).reshape(len(x), -1) @ p["head"] + p["bias"]


NETWORKS: dict[str, Any] = {
    "gpt-64": GPT(64, 32, 32),
    "gpt-128": GPT(128, 64, 12),
    "lstm": LSTM(),
    "cnn": CNN(),
}


# --- The contenders ------------------------------------------------------------------------------


class Model(nn.Module):
    """A network's parameters, and its function."""

    def __init__(self, network: Any, start: dict[str, Array]) -> None:
        super().__init__()
        self.network = network
        self.all = {name: nn.Parameter(x, name=name) for name, x in start.items()}

    def forward(self, x: Any) -> Tensor:
        logits: Tensor = self.network.ours(self.all, x)
        return logits


def eager(network: Any, start: dict[str, Array]) -> Callable[[Array, Array], float]:
    """The step with tinygrad_reg, as it is written."""
    step = train_step(network, start)[0]
    return lambda x, y: step(x, y).item()


def compiled(network: Any, start: dict[str, Array]) -> Callable[[Array, Array], float]:
    """The same step as a program."""
    step = tg.compile(*train_step(network, start))
    return lambda x, y: step(x, y).item()


def train_step(network: Any, start: dict[str, Array]) -> Any:
    """A training step, and what it changes."""
    model = Model(network, start)
    optimizer = optim.AdamW(model.parameters(), LR)

    def step(x: Array, y: Array) -> Tensor:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step, model, optimizer


def pytorch(network: Any, start: dict[str, Array]) -> Callable[[Array, Array], float]:
    """The step with PyTorch, by its own layers and its fused optimizer."""
    torch = importlib.import_module("torch")
    parameters = {name: torch.from_numpy(x.copy()).requires_grad_() for name, x in start.items()}
    optimizer = torch.optim.AdamW(parameters.values(), LR, weight_decay=0.01, fused=True)

    def step(x: Array, y: Array) -> float:
        logits = network.torch(parameters, torch.from_numpy(x))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.item())

    return step


CONTENDERS: dict[str, tuple[str, Any]] = {
    "eager": ("tinygrad_reg", eager),
    "compiled": ("  compiled", compiled),
    "torch": ("PyTorch eager", pytorch),
}


# --- Measuring -----------------------------------------------------------------------------------


def problem(name: str) -> tuple[dict[str, Array], Array, Array]:
    """A start for every contender, and one mini-batch."""
    rng = np.random.default_rng(0)
    start = NETWORKS[name].parameters(rng)
    x, y = NETWORKS[name].batch(rng)
    return {key: array.astype(np.float32) for key, array in start.items()}, x, y


def greatest_difference(name: str, contenders: Sequence[str]) -> float:
    """Between the losses of all contenders, in a few steps."""
    start, x, y = problem(name)
    losses = {}
    for key in contenders:
        step = CONTENDERS[key][1](NETWORKS[name], start)
        losses[key] = np.array([step(x, y) for _ in range(CHECKED_STEPS)])
    first = losses[contenders[0]]
    if not first[-1] < first[0]:
        raise DisagreementError(f"{name} does not learn: its losses are {first}")
    difference = max(float(np.max(np.abs(own - first))) for own in losses.values())
    if not difference <= TOLERANCE:
        raise DisagreementError(f"{name}: losses differ by {difference:.1e}: {losses}")
    return difference


def measure(name: str, contenders: Sequence[str], rounds: int, threads: int) -> dict[str, Any]:
    """The steps of one network, in a process of its own."""
    if "torch" in contenders:
        importlib.import_module("torch").set_num_threads(threads)
    difference = greatest_difference(name, contenders)
    start, x, y = problem(name)
    steps = {key: partial(CONTENDERS[key][1](NETWORKS[name], start), x, y) for key in contenders}
    return {"greatest_difference": difference, **timed(steps, rounds)}


def print_table(name: str, result: dict[str, Any]) -> None:
    times = result["seconds"]
    print(f"\n{name}: all agree, max difference {result['greatest_difference']:.1e}")
    print(f"{'':16}{'ms per step':>12}{'× PyTorch (quartiles)':>27}")
    for key, own in times.items():
        row = f"{CONTENDERS[key][0]:16}{median(own) * 1e3:12.2f}"
        if "torch" in times:
            compared = ratios(own, times["torch"])
            low, middle, high = quantiles(compared, n=4, method="inclusive")
            row += f"{middle:11.2f} ({low:.2f} - {high:.2f})".rjust(27)
        print(row)


@command
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--threads", type=whole(1, 1024), default=1, help="threads for linear algebra")
    add("--rounds", type=whole(2, 10_000), default=9, help="turns of each contender, 2 or more")
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    add("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    options = parser.parse_args(argv)
    for variable in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):
        os.environ[f"{variable}_NUM_THREADS"] = str(options.threads)  # read by child processes
    print("\n".join(f"{key:15}{value}" for key, value in machine(options.threads).items()))
    for name in options.networks:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            try:
                result = fresh.submit(
                    measure, name, options.only, options.rounds, options.threads
                ).result()
            except DisagreementError as error:
                end(1, f"the contenders disagree: {error}")
        print_table(name, result)


if __name__ == "__main__":
    main()
