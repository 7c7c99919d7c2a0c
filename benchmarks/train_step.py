"""One training step, side by side: tinygrad_reg, hand-derived NumPy and three other libraries.

    pip install -e ".[benchmark]" && python benchmarks/train_step.py --threads 1

The step trains [Linear → batch norm → relu → dropout] for each hidden layer → Linear, on softmax
cross-entropy plus ½ α Σ W², by SGD with momentum, in float32.  Every contender first proves that it
computes the same step as the hand-derived one.  README.md beside this file says how to read what
is printed.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import platform
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import median, quantiles
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import tinygrad_reg as tg
from tinygrad_reg import Tensor, nn, no_grad, optim, save_memory
from tinygrad_reg import functional as F
from tinygrad_reg.files import replacing

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from command import command, end, whole

Array: TypeAlias = npt.NDArray[Any]

SIZES = {  # layer sizes, and examples in a mini-batch
    "small": ([64, 64, 10], 32),
    "medium": ([784, 256, 256, 10], 128),
    "large": ([784, 1024, 1024, 10], 256),
}
TURN = 0.02  # seconds that the fastest contender works at a time, at least


@dataclass(frozen=True)
class Settings:
    p: float = 0.5  # dropout
    alpha: float = 1e-4  # L2
    lr: float = 0.01
    momentum: float = 0.9
    eps: float = 1e-5  # batch norm's guard against division by zero
    memory: float = 0.1  # batch norm's weight of the newest statistics, PyTorch's "momentum"


TIMED = Settings()
# Without chance, and with everything else so strong that none of it could be missing unnoticed.
CHECKED = Settings(p=0, alpha=0.1, lr=0.1, eps=0.01)
CHECKED_STEPS = 4  # the third is the first that a compiled step runs as a program
TOLERANCE = 1e-4  # float32 over a million weights makes 6e-5; the mildest mistake tried, 2e-4


# --- The contenders ------------------------------------------------------------------------------


class Contender(ABC):
    """A network in training.

    `state` is what it starts from, as PyTorch orders it, with weights (fan_in, fan_out): weight and
    bias of a Linear, then weight γ, bias β, running mean and running variance of a batch norm, and
    so on to the last Linear.  `state()` is where it has got to.
    """

    name: str
    package: str  # its name for pip

    @abstractmethod
    def __init__(self, state: list[Array], settings: Settings) -> None: ...

    @abstractmethod
    def step(self, x: Array, y: Array) -> float:
        """Learn from x (n, features) and the labels y (n,); the loss, penalty included."""

    @abstractmethod
    def state(self) -> list[Array]: ...


class HandDerived(Contender):
    """What a careful NumPy programmer writes for this one network."""

    name, package = "hand-derived NumPy", "numpy"

    def __init__(self, state: list[Array], settings: Settings) -> None:
        self.settings = settings
        self.rng = np.random.default_rng(0)
        self.all = [array.copy() for array in state]
        self.weights, self.biases = self.all[0::6], self.all[1::6]
        self.gammas, self.betas = self.all[2::6], self.all[3::6]
        self.means, self.variances = self.all[4::6], self.all[5::6]
        self.parameters = self.weights + self.biases + self.gammas + self.betas
        self.velocities = [np.zeros_like(p) for p in self.parameters]

    def step(self, x: Array, y: Array) -> float:
        s = self.settings
        n, hidden = len(x), len(self.gammas)
        scale = np.float32(1 / (1 - s.p))

        # Forward; each hidden layer leaves what its backward needs.
        cache = []
        h = x
        for i in range(hidden):
            z = h @ self.weights[i]
            z += self.biases[i]
            mean = z.mean(axis=0)
            z -= mean
            var = (z * z).mean(axis=0)
            inverse_sd = 1 / np.sqrt(var + s.eps)
            z *= inverse_sd
            for running, batch in (
                (self.means[i], mean),
                (self.variances[i], var * (n / (n - 1))),
            ):
                running *= 1 - s.memory
                running += s.memory * batch
            a = z * self.gammas[i]
            a += self.betas[i]
            kept = self.rng.random(a.shape, dtype=np.float32) >= s.p
            kept &= a > 0
            gate = kept * scale  # relu and dropout in one factor, forward and backward
            a *= gate
            cache.append((h, z, inverse_sd, gate))
            h = a
        logits = h @ self.weights[-1]
        logits += self.biases[-1]

        # Softmax cross-entropy and its gradient, (softmax - one-hot) / n.
        rows = np.arange(n)
        logits -= logits.max(axis=1, keepdims=True)
        d = np.exp(logits)
        total = d.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - logits[rows, y]).mean()
        d /= total
        d[rows, y] -= 1
        d /= n

        # Backward; the compact gradient of batch norm.
        d_weights, d_biases = [h.T @ d], [d.sum(axis=0)]
        d_gammas: list[Array] = []
        d_betas: list[Array] = []
        for i in reversed(range(hidden)):
            h, normal, inverse_sd, gate = cache[i]
            d = d @ self.weights[i + 1].T
            d *= gate
            d_betas.insert(0, d.sum(axis=0))
            d_gammas.insert(0, (d * normal).sum(axis=0))
            d -= d_betas[0] / n
            normal *= d_gammas[0] / n
            d -= normal
            d *= self.gammas[i] * inverse_sd
            d_weights.insert(0, h.T @ d)
            d_biases.insert(0, d.sum(axis=0))

        # The penalty, and gradient descent.
        for w, g in zip(self.weights, d_weights):
            loss += 0.5 * s.alpha * np.vdot(w, w)
            g += s.alpha * w
        gradients = d_weights + d_biases + d_gammas + d_betas
        for p, g, v in zip(self.parameters, gradients, self.velocities):
            v *= s.momentum
            v += g
            p -= s.lr * v
        return float(loss)

    def state(self) -> list[Array]:
        return self.all


class Ours(Contender):
    name, package = "tinygrad_reg", "tinygrad_reg"

    def __init__(self, state: list[Array], settings: Settings) -> None:
        self.alpha = settings.alpha
        layers: list[nn.Module] = []
        for weight in state[:-2:6]:
            layers += [
                nn.Linear(*weight.shape),
                nn.BatchNorm1d(weight.shape[1], settings.eps, settings.memory),
                nn.ReLU(),
                nn.Dropout(settings.p),
            ]
        self.model = nn.Sequential(*layers, nn.Linear(*state[-2].shape))
        self.model.load_state_dict(dict(zip(self.model.state_dict(), state)))
        self.weights = self.model.weights()
        self.optimizer = self.build_optimizer(list(self.model.parameters()), settings)

    def build_optimizer(self, parameters: list[Tensor], settings: Settings) -> Any:
        return optim.SGD(parameters, lr=settings.lr, momentum=settings.momentum)

    def step(self, x: Array, y: Array) -> float:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(Tensor(x)), y) + F.l2_penalty(self.weights, self.alpha)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def state(self) -> list[Array]:
        return list(self.model.state_dict().values())


class Compiled(Ours):
    """The same as a program, with `zero_grad` last: so no gradient need be kept for the next."""

    name = "  compiled"

    def __init__(self, state: list[Array], settings: Settings) -> None:
        super().__init__(state, settings)
        self.program = tg.compile(self.train, self.model, self.optimizer)

    def train(self, x: Array, y: Array) -> Tensor:
        loss = F.cross_entropy(self.model(x), y) + F.l2_penalty(self.weights, self.alpha)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def step(self, x: Array, y: Array) -> float:
        return self.program(x, y).item()


class Saving(Ours):
    """The same under `save_memory`, and with the penalty as weight decay, as PyTorch has it."""

    name = "  save_memory"

    def build_optimizer(self, parameters: list[Tensor], settings: Settings) -> Any:
        others = [p for p in parameters if p.ndim == 1]
        return [
            optim.SGD(group, settings.lr, settings.momentum, weight_decay=decay)
            for group, decay in ((self.weights, settings.alpha), (others, 0.0))
        ]

    def step(self, x: Array, y: Array) -> float:
        for optimizer in self.optimizer:
            optimizer.zero_grad()
        with save_memory():
            loss = F.cross_entropy(self.model(Tensor(x)), y)
        loss.backward()
        with no_grad():
            value = loss + F.l2_penalty(self.weights, self.alpha)
        for optimizer in self.optimizer:
            optimizer.step()
        return float(value)


class PyTorch(Contender):
    """Of the ways to write it, the fastest here: fused SGD, and the penalty as its weight decay."""

    name, package = "PyTorch eager", "torch"

    def __init__(self, state: list[Array], settings: Settings) -> None:
        self.torch = torch = importlib.import_module("torch")
        self.alpha = settings.alpha
        layers: list[Any] = []
        for fan_in, fan_out in (weight.shape for weight in state[:-2:6]):
            layers += [
                torch.nn.Linear(fan_in, fan_out),
                torch.nn.BatchNorm1d(fan_out, settings.eps, settings.memory),
                torch.nn.ReLU(),
                torch.nn.Dropout(settings.p),
            ]
        self.model = torch.nn.Sequential(*layers, torch.nn.Linear(*state[-2].shape))
        with torch.no_grad():
            for own, array in zip(self.floats(), state):
                own.copy_(torch.from_numpy(array.T))
        self.weights = [p for p in self.model.parameters() if p.ndim == 2]
        others = [p for p in self.model.parameters() if p.ndim == 1]
        self.optimizer = torch.optim.SGD(
            [{"params": self.weights, "weight_decay": settings.alpha}, {"params": others}],
            lr=settings.lr,
            momentum=settings.momentum,
            fused=True,
        )

    def floats(self) -> list[Any]:
        tensors = self.model.state_dict().values()
        return [tensor for tensor in tensors if tensor.is_floating_point()]

    def step(self, x: Array, y: Array) -> float:
        torch = self.torch
        self.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            self.model(torch.from_numpy(x)), torch.from_numpy(y)
        )
        loss.backward()
        with torch.no_grad():
            penalty = sum(torch.dot(w.view(-1), w.view(-1)) for w in self.weights)
            value = loss + 0.5 * self.alpha * penalty
        self.optimizer.step()
        return float(value)

    def state(self) -> list[Array]:
        return [tensor.numpy().T for tensor in self.floats()]


class NumPyOptimizer(Contender):
    """SGD with momentum for libraries without: `flat` in the order of `state`, updated in place."""

    def __init__(self, state: list[Array], settings: Settings) -> None:
        self.settings = settings
        self.rng = np.random.default_rng(0)
        self.flat = [array.copy() for array in state]
        self.trained = [i for i in range(len(state)) if i % 6 < 4]
        self.velocities = [np.zeros_like(array) for array in state]

    def descend(self, i: int, gradient: Array) -> None:
        v = self.velocities[i]
        v *= self.settings.momentum
        v += gradient
        self.flat[i] -= self.settings.lr * v

    def remember(self, i: int, batch: Array) -> None:
        self.flat[i] *= 1 - self.settings.memory
        self.flat[i] += self.settings.memory * batch

    def mask(self, shape: tuple[int, ...]) -> Array:
        """For dropout, which these libraries leave to NumPy."""
        p = self.settings.p
        kept: Array = self.rng.random(shape, dtype=np.float32) >= p
        mask: Array = kept * np.float32(1 / (1 - p))
        return mask

    def state(self) -> list[Array]:
        return self.flat


class HipsAutograd(NumPyOptimizer):
    name, package = "HIPS autograd", "autograd"

    def __init__(self, state: list[Array], settings: Settings) -> None:
        super().__init__(state, settings)
        self.np = importlib.import_module("autograd.numpy")
        self.value_of = importlib.import_module("autograd.tracer").getval
        self.value_and_grad = importlib.import_module("autograd").value_and_grad(self.loss)

    def loss(self, parameters: Any, x: Array, y: Array) -> Any:
        np, s, n = self.np, self.settings, len(x)
        penalty = 0
        h = x
        for i in range(0, len(self.trained) - 2, 4):
            weight, bias, gamma, beta = (parameters[i + j] for j in range(4))
            z = np.dot(h, weight) + bias
            mean = np.mean(z, axis=0)
            z = z - mean
            var = np.mean(z * z, axis=0)
            at = self.trained[i]
            self.remember(at + 4, self.value_of(mean))
            self.remember(at + 5, self.value_of(var) * (n / (n - 1)))
            a = z * (gamma / np.sqrt(var + s.eps)) + beta
            h = np.maximum(a, 0) * self.mask(a.shape)
            penalty = penalty + np.sum(weight * weight)
        weight, bias = parameters[-2], parameters[-1]
        logits = np.dot(h, weight) + bias
        shifted = logits - np.max(self.value_of(logits), axis=1, keepdims=True)
        one_hot = np.eye(logits.shape[1], dtype=np.float32)[y]
        log_total = np.log(np.sum(np.exp(shifted), axis=1))
        loss = np.mean(log_total - np.sum(one_hot * shifted, axis=1))
        return loss + 0.5 * s.alpha * (penalty + np.sum(weight * weight))

    def step(self, x: Array, y: Array) -> float:
        loss, gradients = self.value_and_grad([self.flat[i] for i in self.trained], x, y)
        for i, gradient in zip(self.trained, gradients):
            self.descend(i, gradient)
        return float(loss)


class MyGrad(NumPyOptimizer):
    """With memory guarding off, as its documentation advises for speed."""

    name, package = "MyGrad", "mygrad"

    def __init__(self, state: list[Array], settings: Settings) -> None:
        super().__init__(state, settings)
        self.mg = importlib.import_module("mygrad")
        self.nnet = importlib.import_module("mygrad.nnet")
        self.mg.turn_memory_guarding_off()
        # Around the same arrays: what changes `flat` in place changes the tensors.
        self.tensors = {i: self.mg.tensor(self.flat[i], copy=False) for i in self.trained}

    def step(self, x: Array, y: Array) -> float:
        mg, s, n = self.mg, self.settings, len(x)
        penalty = 0
        h = x
        for i in range(0, len(self.flat) - 2, 6):
            weight, bias, gamma, beta = (self.tensors[i + j] for j in range(4))
            normal = self.nnet.batchnorm(
                mg.matmul(h, weight) + bias, gamma=gamma, beta=beta, eps=s.eps
            )
            self.remember(i + 4, normal.creator.mean)
            self.remember(i + 5, normal.creator.var * (n / (n - 1)))
            h = self.nnet.relu(normal) * self.mask(normal.shape)
            penalty = penalty + mg.sum(weight * weight)
        weight, bias = list(self.tensors.values())[-2:]
        loss = self.nnet.softmax_crossentropy(mg.matmul(h, weight) + bias, y)
        penalty = penalty + mg.sum(weight * weight)
        loss = loss + np.float32(0.5 * s.alpha) * penalty
        loss.backward()
        for i, tensor in self.tensors.items():
            self.descend(i, tensor.grad)
        return float(loss)


CONTENDERS: dict[str, type[Contender]] = {
    "hand": HandDerived,
    "ours": Ours,
    "compiled": Compiled,
    "saving": Saving,
    "torch": PyTorch,
    "autograd": HipsAutograd,
    "mygrad": MyGrad,
}


# --- Measuring -----------------------------------------------------------------------------------


class DisagreementError(Exception):
    """The contenders do not compute the same step."""


def problem(size: str) -> tuple[list[Array], Array, Array]:
    """A start for every contender, and one mini-batch."""
    rng = np.random.default_rng(0)
    sizes, n = SIZES[size]
    state: list[Array] = []
    for fan_in, fan_out in pairwise(sizes):
        zeros, ones = np.zeros(fan_out), np.ones(fan_out)
        weight = rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)
        state += [weight, zeros, ones, zeros, zeros, ones]
    x = rng.standard_normal((n, sizes[0]), dtype=np.float32)
    y = rng.integers(sizes[-1], size=n)
    return [array.astype(np.float32) for array in state[:-4]], x, y


def greatest_difference(size: str, names: list[str]) -> float:
    """Between all steps and the hand-derived ones, in any loss, parameter or running statistic."""
    start, x, y = problem(size)
    reached: dict[str, list[Array]] = {}
    greatest = 0.0
    for name in names:
        contender = CONTENDERS[name](start, CHECKED)
        losses = np.array([contender.step(x, y) for _ in range(CHECKED_STEPS)])
        reached[name] = [losses, *contender.state()]
        for mine, hand in zip(reached[name], reached["hand"], strict=True):
            difference = float(np.max(np.abs(mine - hand) / np.maximum(1, np.abs(hand))))
            if not difference <= TOLERANCE:
                raise DisagreementError(
                    f"{size}: {contender.name} and {HandDerived.name} differ by {difference:.1e} "
                    f"in values of shape {hand.shape} after {CHECKED_STEPS} steps"
                )
            greatest = max(greatest, difference)
    return greatest


def measure(size: str, names: list[str], rounds: int, threads: int) -> dict[str, Any]:
    """The steps of one size, in a process of its own; times in seconds per step, by round."""
    if "torch" in names:
        importlib.import_module("torch").set_num_threads(threads)
    difference = greatest_difference(size, names)
    start, x, y = problem(size)
    contenders = {name: CONTENDERS[name](start, TIMED) for name in names}
    steps = {name: partial(contender.step, x, y) for name, contender in contenders.items()}
    return {"greatest_difference": difference, **timed(steps, rounds)}


def timed(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, Any]:
    """Seconds per step of each contender, by round: the turns in a round are in shuffled order."""

    def turn(step: Callable[[], object], n: int) -> float:
        gc.collect()  # everyone collects their own garbage, and nobody else's
        step()  # and has warm caches
        begin = perf_counter()
        for _ in range(n):
            step()
        return (perf_counter() - begin) / n

    n = max(1, *(round(TURN / turn(step, 5)) for step in steps.values()))
    gc.freeze()
    shuffled = Random(0)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name in shuffled.sample([*steps], len(steps)):
            times[name].append(turn(steps[name], n))
    return {"steps_per_turn": n, "seconds": times}


# --- Reporting -----------------------------------------------------------------------------------


def machine(threads: int) -> dict[str, Any]:
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), cpu)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "cpu": f"{cpu}, {os.cpu_count()} cores",
        "threads": threads,
        "python": platform.python_version(),
        "blas of numpy": f"{blas['name']} {blas['version']}",
        **{c.package: found for c in CONTENDERS.values() if (found := installed(c.package))},
    }


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def print_table(size: str, result: dict[str, Any]) -> None:
    layers, n = SIZES[size]
    times = result["seconds"]
    print(f"\n{size}: {layers}, batch {n}, {result['steps_per_turn']} steps per turn")
    print(f"all contenders agree: max difference {result['greatest_difference']:.1e}")
    print(f"{'':20}{'µs per step':>12}{'× hand-derived (quartiles)':>30}{'× PyTorch':>12}")
    for name, own in times.items():
        row = f"{CONTENDERS[name].name:20}{median(own) * 1e6:12.0f}"
        low, middle, high = quantiles(ratios(own, times["hand"]), n=4, method="inclusive")
        row += f"{middle:14.2f} ({low:.2f} - {high:.2f})".rjust(30)
        if "torch" in times:
            row += f"{median(ratios(own, times['torch'])):12.2f}"
        print(row)


def ratios(own: list[float], other: list[float]) -> list[float]:
    """Round by round: what slows a whole round down cancels out."""
    return [a / b for a, b in zip(own, other)]


@command
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--threads", type=whole(1, 1024), default=1, help="threads for linear algebra")
    add("--rounds", type=whole(2, 10_000), default=15, help="turns of each contender, 2 or more")
    add("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    add("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    add("--json", type=Path, help="write all times to this file")
    options = parser.parse_args(argv)

    with replacing(options.json) if options.json else nullcontext() as temporary:
        compare(options, temporary)


def compare(options: argparse.Namespace, temporary: Path | None) -> None:
    """Measure and print what the command line asks for; write all times to the file."""
    for variable in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):
        os.environ[f"{variable}_NUM_THREADS"] = str(options.threads)  # read by child processes
    about = machine(options.threads)
    print("\n".join(f"{key:15}{value}" for key, value in about.items()))
    names = []
    for name, contender in CONTENDERS.items():
        if name != "hand" and name not in options.only:
            continue
        if installed(contender.package):
            names.append(name)
        else:
            print(f"{contender.name} is skipped: pip install {contender.package}")

    results = {}
    for size in options.sizes:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            try:
                results[size] = fresh.submit(
                    measure, size, names, options.rounds, options.threads
                ).result()
            except DisagreementError as error:
                end(1, f"the contenders disagree: {error}")
        print_table(size, results[size])
    if temporary:
        report = {"machine": about, "settings": asdict(TIMED), "results": results}
        temporary.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
