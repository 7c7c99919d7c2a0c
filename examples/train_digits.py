"""Train a regularised network to read handwritten digits: the tutorial of tinygrad_reg.

    pip install -e ".[examples]" && python examples/train_digits.py

Read it from top to bottom.  It takes the 1,797 digits of 8×8 pixels that come with scikit-learn (or
MNIST, with --mnist DIR), trains

    pixels → standardise → (Linear → batch norm → relu → dropout) for each --hidden → Linear

on softmax cross-entropy plus an L1 and an L2 penalty, and compares the result with scikit-learn's
MLPClassifier with the same hidden sizes on the same examples.  In --out (runs/digits) it leaves

    curves.png          loss and accuracy, epoch by epoch
    confusion.png       which digits of the test set were taken for which
    graph.svg           the backprop graph of one training step, coloured by its gradients
    graph.html          the same as a page: its backward pass plays step by step
    film.html           with --film, the same step of every epoch: how gradients grow and die
    model.safetensors   the trained network
    metrics.json        all settings and all numbers

and, while it is at work, checkpoint.safetensors.  After Ctrl-C, or a crash, the same command with
--resume goes on where it was, and ends with the same network and numbers, to the last bit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
import sklearn
from command import STOPPED, UsageError, command, in_words, output_folder
from mnist_files import read_mnist
from plots import plot_confusion, plot_curves
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import confusion_matrix, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from tqdm import tqdm

import tinygrad_reg
from tinygrad_reg import Film, Tensor, checkpoint, draw, nn, no_grad, optim
from tinygrad_reg import functional as F
from tinygrad_reg.files import write

Array: TypeAlias = npt.NDArray[Any]
Examples: TypeAlias = tuple[Array, Array]  # pixels (n, features), float32, and labels (n,), 0 to 9
Data: TypeAlias = tuple[Examples, Examples | None]  # with a test set of their own, or without
Splits: TypeAlias = dict[str, Examples]
Numbers: TypeAlias = dict[str, Any]

CLASSES = 10
CHECKPOINT = "checkpoint.safetensors"
FILES = (
    "curves.png", "confusion.png", "graph.svg", "graph.html", "film.html", "model.safetensors",
    "metrics.json",
)  # fmt: skip


# --- 1. Settings ---------------------------------------------------------------------------------
# The defaults were chosen on *validation* accuracy, averaged over 20 seeds; the loss decided a tie.
# Nothing was chosen on the test set: that is what makes its accuracy an honest estimate.


@dataclass(frozen=True)
class Settings:
    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.2  # p, the probability of *dropping* a hidden unit
    batch_norm: bool = True
    l1: float = 1e-4  # β in β Σ|W|
    l2: float = 1e-3  # α in ½ α ‖W‖²
    optimizer: str = "adam"
    lr: float | None = None  # None: LEARNING_RATES[optimizer]
    batch_size: int = 32
    epochs: int = 60
    seed: int = 0
    seeds: int = 1  # how many seeds: seed, seed + 1, …
    out: str = "runs/digits"
    quick: bool = False
    mnist: str | None = None
    film: bool = False
    eager: bool = False  # without compile: slower, and the same numbers


LEARNING_RATES = {"sgd": 0.1, "adam": 3e-3, "adamw": 3e-3}
QUICK_EPOCHS, QUICK_EXAMPLES = 10, 2000


# --- 2. Data -------------------------------------------------------------------------------------
# Three separate splits.  Training examples make gradients, validation examples choose settings, and
# test examples are looked at once, at the end.


def load_data(settings: Settings) -> Data:
    """All examples; MNIST brings its own test set."""
    if settings.mnist is None:
        x, y = load_digits(return_X_y=True)
        return (x.astype(np.float32), y), None
    try:
        return read_mnist(Path(settings.mnist))
    except ValueError as error:
        raise UsageError(f"--mnist: {error}") from error
    except OSError as error:
        raise UsageError(f"--mnist: {in_words(error)}") from error


def load_splits(settings: Settings, seed: int, data: Data | None = None) -> Splits:
    """Train, validation and test examples: disjoint, each with every digit in proportion."""
    rest, test = data or load_data(settings)
    if test is None:
        rest, test = split(rest, 1 / 5, seed)
        train, validation = split(rest, 1 / 4, seed)  # 60 % : 20 % : 20 %
    else:
        train, validation = split(rest, 1 / 6, seed)
    if settings.quick and len(train[1]) > QUICK_EXAMPLES:
        _, train = split(train, QUICK_EXAMPLES, seed)
    known = set(train[1])
    if len(known) < 2:
        raise UsageError("all training examples are of one digit: there is nothing to tell apart")
    if unknown := {*validation[1], *test[1]} - known:
        raise UsageError(
            f"no training example is a {', '.join(map(str, sorted(unknown)))}, but others are: "
            "take data with enough examples of each digit"
        )
    return {"train": train, "validation": validation, "test": test}


def fingerprint(data: Data) -> str:
    """A text that is another one for other data."""
    digest = sha256()
    for examples in data:
        for array in examples or ():
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def split(examples: Examples, second: float | int, seed: int) -> tuple[Examples, Examples]:
    """Split in two at random; the second gets this share (or number) of each digit's examples."""
    x, y = examples
    try:
        x1, x2, y1, y2 = train_test_split(x, y, test_size=second, stratify=y, random_state=seed)
    except ValueError as error:
        raise UsageError(f"{len(y)} examples are too few to split: {error}") from error
    return (x1, y1), (x2, y2)


# --- 3. Model ------------------------------------------------------------------------------------
# A module holds parameters (trained) and buffers (saved, but not trained), and defines `forward`.
# There is no backward to write: it follows from the operations that forward uses.


class Standardise(nn.Module):
    """(x - mean) / deviation, with statistics of the *training* set alone.

    Each pixel has its own mean; all share one deviation, for one of its own would blow up the noise
    of the pixels that are nearly always blank.  Standardising inside the model means that it takes
    raw pixels, and that its checkpoint lacks nothing.
    """

    def __init__(self, x: Array) -> None:
        self.mean = Tensor(x.mean(axis=0), name="mean")
        self.deviation = Tensor(x.std() or np.float32(1), name="deviation")

    def forward(self, x: Tensor) -> Tensor:
        z = (x - self.mean) / self.deviation
        z.name = "pixels"  # the graph begins here: nothing before needs a gradient
        return z


def build_model(settings: Settings, x: Array, rng: np.random.Generator) -> nn.Sequential:
    """The network for pixels like x.  `rng` draws the first weights, and the masks of dropout.

    Batch norm: ẑ = γ (z - μ) / √(σ² + ε) + β, with μ and σ² over the mini-batch; in eval mode, over
    a running average.  Its β does what a bias would, so the layer before it has none.
    Dropout: each unit of each example is zero with probability p, and the others are divided by
    1 - p, so that the expected activation stays, and eval mode has nothing to do.
    """
    layers: list[nn.Module] = [Standardise(x)]
    width = x.shape[1]
    for size in settings.hidden:
        layers.append(nn.Linear(width, size, bias=not settings.batch_norm, rng=rng))
        if settings.batch_norm:
            layers.append(nn.BatchNorm1d(size))
        layers.append(nn.ReLU())
        if settings.dropout:
            layers.append(nn.Dropout(settings.dropout, rng=rng))
        width = size
    return nn.Sequential(*layers, nn.Linear(width, CLASSES, rng=rng))


def objective(model: nn.Sequential, x: Array, y: Array, settings: Settings) -> Tensor:
    """What training makes small: -mean log softmax(logits)ᵧ + β Σ|W| + ½ α Σ‖W‖².

    The penalties add β sign(W) + α W to the gradient of each weight matrix: the first pulls weights
    to exactly zero, the second shrinks large ones.  Biases, γ and β of batch norm go free.
    """
    loss = F.cross_entropy(model(Tensor(x)), y)
    if settings.l1:
        loss = loss + F.l1_penalty(model.weights(), settings.l1)
    if settings.l2:
        loss = loss + F.l2_penalty(model.weights(), settings.l2)
    loss.name = "loss"
    return loss


# --- 4. Stopping and going on --------------------------------------------------------------------
# All that the rest of a run depends on is in its checkpoint, which is replaced every second: the
# model with its running statistics, the optimizer, the schedule, the generator, and where in the
# run we are.  It is always of a moment between two batches: within a step, nothing fits together.

SAVE_EVERY = 1.0  # seconds


@dataclass
class Position:
    """Where training is."""

    epoch: int = 0
    batch: int = 0  # how many batches of this epoch are done
    order: Array | None = None  # of the training examples, in this epoch
    total: float = 0.0  # Σ loss · n over the batches done
    curves: dict[str, list[float]] = field(default_factory=dict)  # of the epochs done
    seconds: float = 0.0  # of training so far; what a kill undid does not count


class Stopped(BaseException):
    """Ctrl-C.  Not KeyboardInterrupt, after which scikit-learn's fit returns as if it were done."""


class Progress:
    """How far a run has come, here and in its checkpoint."""

    def __init__(self, settings: Settings, resume: bool = False, data: str = "") -> None:
        self.path = Path(settings.out) / CHECKPOINT
        self.origin = {"settings": as_numbers(settings), "data": data, "versions": versions()}
        self.runs: list[Numbers] = []  # the numbers of the seeds that are done
        self.position: Position | None = None  # in training the next one
        seconds = 0.0
        if resume and self.path.exists():
            with reading(self.path):
                saved = checkpoint.load(self.path)
                refuse_others(self.origin, saved, self.path)
                self.runs, seconds = list(saved["runs"]), float(saved["seconds"])
                if saved["position"] is not None:
                    self.position = Position(**saved["position"])
        self.saved = time.perf_counter()
        self.started = self.saved - seconds
        self.stop = False  # whether Ctrl-C was pressed in training

    def begin(self, **parts: Any) -> Position:
        """Where training begins: at its start, or where these parts are brought, as last saved."""
        if self.position is not None:
            checkpoint.load(self.path, **parts)
            position, self.position = self.position, None
            return position
        if not self.runs:  # a new run takes the place of an old one
            self.save()
            for name in FILES:
                remove(self.path.with_name(name))
        return Position()

    def save_now_and_then(self, position: Position, **parts: Any) -> None:
        if self.stop or time.perf_counter() - self.saved >= SAVE_EVERY:
            self.save(asdict(position), **parts)

    def save(self, position: Numbers | None = None, **parts: Any) -> None:
        self.saved = time.perf_counter()
        checkpoint.save(
            self.path,
            **self.origin,
            runs=self.runs,
            seconds=self.saved - self.started,
            position=position,
            **parts,
        )
        if self.stop:
            raise Stopped

    def stop_soon(self, *_: Any) -> None:
        """What Ctrl-C does in training: the batch is brought to its end, and saved."""
        self.stop = True


def stop_now(*_: Any) -> NoReturn:
    """What Ctrl-C does elsewhere: what is at work is done again when the run is resumed."""
    raise Stopped


@contextmanager
def on_ctrl_c(act: Callable[..., None]) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, act)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def as_numbers(settings: Settings) -> Numbers:
    """Settings as JSON has them."""
    return {**asdict(settings), "hidden": list(settings.hidden)}


def versions() -> dict[str, str]:
    """Of Python, and of the packages that decide the numbers."""
    return {
        "python": platform.python_version(),
        "tinygrad_reg": tinygrad_reg.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }


def refuse_others(origin: Numbers, saved: Numbers, path: Path) -> None:
    """UsageError if a run has other settings, data or packages than the one to be resumed."""
    for what in "settings", "versions":
        different = [
            f"{name} {saved[what].get(name)} there, {value} here"
            for name, value in origin[what].items()
            if value != saved[what].get(name) and name not in ("out", "film", "eager", "python")
        ]
        if different:
            raise UsageError(
                f"--resume: {path} is of a run with other {what} ({'; '.join(different)}): repeat "
                "those, or choose another --out, or start over without --resume"
            )
    if origin["data"] != saved["data"]:
        raise UsageError(
            f"--resume: {path} is of a run on other data: bring those back, or choose another "
            "--out, or start over without --resume"
        )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """UsageError if the file that is read in this block is none that this script writes."""
    try:
        yield
    except (UsageError, checkpoint.CheckpointError):
        raise
    except Exception as error:  # what others wrote may be anything
        raise UsageError(
            f"--resume: {path} is not what this script writes ({type(error).__name__}: {error}): "
            "choose another --out, or start over without --resume"
        ) from error


def finished(settings: Settings, data: str) -> Numbers | None:
    """What metrics.json says, if the run in settings.out has come to its end."""
    path = Path(settings.out) / "metrics.json"
    if path.with_name(CHECKPOINT).exists() or not path.exists():
        return None
    origin = {"settings": as_numbers(settings), "data": data, "versions": {}}  # by any version
    with reading(path):
        metrics: Numbers = json.loads(path.read_text(encoding="utf-8"))
        for i in range(settings.seeds):
            refuse_others(origin, metrics | {"data": metrics["runs"][i]["data"]}, path)
        report(metrics)
    return metrics


def remove(path: Path) -> None:
    """Remove a file, if it is there; of a link, the file that it points to."""
    Path(os.path.realpath(path)).unlink(missing_ok=True)


# --- 5. Training ---------------------------------------------------------------------------------


def build_optimizer(settings: Settings, model: nn.Module) -> optim.Optimizer:
    lr = LEARNING_RATES[settings.optimizer] if settings.lr is None else settings.lr
    if settings.optimizer == "sgd":
        return optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)
    if settings.optimizer == "adam":
        return optim.Adam(model.parameters(), lr=lr)
    return optim.AdamW(model.parameters(), lr=lr)  # with a weight decay of its own, of biases too


def train(
    model: nn.Sequential,
    splits: Splits,
    settings: Settings,
    rng: np.random.Generator,
    progress: Progress,
    label: str,
    film: Film | None = None,
) -> Position:
    """Train for settings.epochs, and keep the last: the learning rate has come down to 0 by then.

    An epoch goes once through the training set in random order.  n // batch_size batches of nearly
    equal size leave nobody over: a batch of one example would have no variance to normalise by.
    """
    x, y = splits["train"]
    optimizer = build_optimizer(settings, model)
    schedule = optim.CosineAnnealingLR(optimizer, T_max=settings.epochs)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "rng": rng}
    at = progress.begin(**parts)
    start = time.perf_counter() - at.seconds

    def train_step(x: Array, y: Array) -> Tensor:
        loss = objective(model, x, y, settings)  # forward: the graph grows
        if film is not None and at.batch == 0:
            film.record(loss, f"epoch {at.epoch + 1}")
        optimizer.zero_grad()
        loss.backward()  # backward: the chain rule, from the loss to each parameter's .grad
        optimizer.step()
        return loss

    step = train_step
    if not settings.eager and film is None:  # from the third call on a NumPy program
        step = tinygrad_reg.compile(train_step, model, optimizer, rng)
    with (
        on_ctrl_c(progress.stop_soon),
        np.errstate(over="ignore", invalid="ignore"),  # whether it diverged is asked below
        tqdm(total=settings.epochs, initial=at.epoch, desc=label, unit="epoch") as bar,
    ):
        while at.epoch < settings.epochs:
            model.train()  # dropout drops, batch norm uses the statistics of the mini-batch
            if at.batch == 0:  # not in the middle of an epoch, where a run may be resumed
                at.order, at.total = rng.permutation(len(y)), 0.0
            batches = np.array_split(at.order, max(1, len(y) // settings.batch_size))
            for batch in batches[at.batch :]:
                loss = step(x[batch], y[batch])
                at.total += loss.item() * len(batch)
                at.batch += 1
                at.seconds = time.perf_counter() - start
                progress.save_now_and_then(at, **parts)
            schedule.step()
            now = {"objective": at.total / len(y)}
            for name in ("train", "validation"):
                inputs, labels = splits[name]
                for key, value in measure(predict(model, inputs), labels).items():
                    now[f"{name} {key}"] = value
            if not np.isfinite(list(now.values())).all():
                raise UsageError(
                    f"training diverged (loss {now['train loss']}): lower --lr, --l1 or --l2"
                )
            for key, value in now.items():
                at.curves.setdefault(key, []).append(value)
            at.epoch, at.batch = at.epoch + 1, 0
            bar.set_postfix(
                loss=f"{now['train loss']:.4f}",
                train=f"{now['train accuracy']:.2%}",
                validation=f"{now['validation accuracy']:.2%}",
                refresh=False,
            )
            bar.update()
        at.seconds = time.perf_counter() - start
        progress.save(asdict(at), **parts)
    return at


# --- 6. Evaluation -------------------------------------------------------------------------------


@no_grad()  # records no graph: faster, and nothing to free
def predict(model: nn.Module, x: Array) -> Array:
    """Logits.  In eval mode nothing is random and examples do not influence each other."""
    logits: Tensor = model.eval()(Tensor(x))
    return logits.numpy()


def measure(logits: Array, y: Array) -> dict[str, float]:
    accuracy = np.mean(logits.argmax(axis=1) == y)
    return {"loss": F.cross_entropy(logits, y).item(), "accuracy": float(accuracy)}


def train_rival(model: nn.Sequential, splits: Splits, settings: Settings, seed: int) -> Numbers:
    """scikit-learn's network: the same hidden sizes, standardised inputs and training examples.

    All else is its own default (Adam, L2 penalty, batches of 200); it may train until it converges.
    """
    standardised = {name: (predict(model[0], x), y) for name, (x, y) in splits.items()}
    rival = MLPClassifier(settings.hidden, max_iter=1000, random_state=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rival.fit(*standardised["train"])
    for warning in caught:  # none is swallowed: above all not that it has yet to converge
        tqdm.write(f"scikit-learn, seed {seed}: {warning.message}")
    converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    numbers: Numbers = {"iterations": rival.n_iter_, "converged": converged}
    for name, (x, y) in standardised.items():
        loss = log_loss(y, rival.predict_proba(x), labels=rival.classes_)
        numbers[name] = {"loss": float(loss), "accuracy": float(rival.score(x, y))}
    return numbers


def draw_training_step(
    model: nn.Sequential, examples: Examples, settings: Settings, path: Path
) -> None:
    """What `train` does with a batch once more, but to look at the graph and its gradients."""
    x, y = (values[: max(2, settings.batch_size)] for values in examples)
    loss = objective(model.train(), x, y, settings)
    drawing = draw(loss, gradients=True, model=model)
    drawing.save(path)
    drawing.save(path.with_suffix(".html"))


# --- 7. From the split to the test, for each seed ------------------------------------------------


def run(settings: Settings, resume: bool = False) -> Numbers:
    """Train, compare, leave everything in settings.out, and return what metrics.json says."""
    out = check(settings)
    if settings.quick:
        settings = replace(settings, epochs=min(settings.epochs, QUICK_EPOCHS))
    data = load_data(settings)
    kind = fingerprint(data)
    if resume and (metrics := finished(settings, kind)):
        print(report(metrics))
        return metrics
    progress = Progress(settings, resume, kind)
    for seed in range(settings.seed + len(progress.runs), settings.seed + settings.seeds):
        splits = load_splits(settings, seed, data)
        rng = np.random.default_rng(seed)  # everything random hangs on the seed
        model = build_model(settings, splits["train"][0], rng)
        film = Film(model=model) if settings.film and seed == settings.seed else None
        trained = train(model, splits, settings, rng, progress, f"seed {seed}", film)
        start = time.perf_counter()
        rival = train_rival(model, splits, settings, seed)
        end = time.perf_counter()
        logits = {name: predict(model, x) for name, (x, _) in splits.items()}  # now the test set
        ours = {name: measure(logits[name], y) for name, (_, y) in splits.items()}
        confusion = confusion_matrix(
            splits["test"][1], logits["test"].argmax(axis=1), labels=range(CLASSES)
        )
        if seed == settings.seed:  # the network, the graph and the film are the first seed's
            checkpoint.save(out / "model.safetensors", model)
            draw_training_step(model, splits["train"], settings, out / "graph.svg")
            if film is not None and film.frames:
                film.save(out / "film.html")
        progress.runs.append({
            "seed": seed,
            "data": kind,
            "examples": {name: len(y) for name, (_, y) in splits.items()},
            "ours": ours | {"seconds": trained.seconds},
            "sklearn": rival | {"seconds": end - start},
            "curves": trained.curves,
            "confusion": confusion.tolist(),
        })  # fmt: skip
        progress.save()
    plot_curves(progress.runs, out / "curves.png")
    plot_confusion(progress.runs, out / "confusion.png")
    metrics = {
        "settings": as_numbers(settings),
        "test_accuracy": summarise(progress.runs),
        "runs": progress.runs,
        "versions": versions(),
        "seconds": time.perf_counter() - progress.started,
    }
    write(out / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    remove(progress.path)  # last of all: as long as it is there, --resume does the rest again
    print(report(metrics))
    return metrics


def summarise(runs: Sequence[Numbers]) -> Numbers:
    """Mean and standard deviation over the seeds; the difference is taken split by split."""
    accuracy = {
        who: np.array([r[who]["test"]["accuracy"] for r in runs]) for who in ("ours", "sklearn")
    }
    accuracy["difference"] = accuracy["ours"] - accuracy["sklearn"]
    return {
        name: {"mean": float(a.mean()), "sd": float(a.std(ddof=1)) if len(a) > 1 else None}
        for name, a in accuracy.items()
    }


def report(metrics: Numbers) -> str:
    n = len(metrics["runs"])
    lines = [f"\nTest accuracy{f', mean ± sd over {n} seeds' if n > 1 else ''}"]
    names = {"ours": "tinygrad_reg", "sklearn": "scikit-learn", "difference": "difference"}
    for key, name in names.items():
        mean, sd = metrics["test_accuracy"][key].values()
        number = f"{100 * mean:{'+' if key == 'difference' else ''}.2f}"
        lines.append(
            f"  {name:<13}{number:>6}" + ("" if sd is None else f" ± {100 * sd:.2f}") + " %"
        )
    return "\n".join([*lines, f"{metrics['seconds']:.1f} s; see {metrics['settings']['out']}"])


# --- 8. Command line -----------------------------------------------------------------------------


def check(settings: Settings) -> Path:
    """The output folder, made if need be; UsageError for settings that make no sense."""
    s, rate, smallest = settings, settings.lr or 0.0, 2 if settings.batch_norm else 1
    rules = {
        "--hidden: sizes must be 1 or more, and below 1,000,000,000": (
            len(s.hidden) > 0 and min(s.hidden) >= 1 and max(s.hidden) < 1_000_000_000
        ),
        "--dropout, the probability of dropping, must be in [0, 1)": 0 <= s.dropout < 1,
        "--l1 must be 0 or more": 0 <= s.l1 < np.inf,
        "--l2 must be 0 or more": 0 <= s.l2 < np.inf,
        f"--optimizer must be one of {', '.join(LEARNING_RATES)}": s.optimizer in LEARNING_RATES,
        "--lr must be above 0": s.lr is None or 0 < rate < np.inf,
        f"--batch-size must be {smallest} or more{' with batch norm' if s.batch_norm else ''}": (
            s.batch_size >= smallest
        ),
        "--epochs must be 1 or more, and at most 1,000,000": 1 <= s.epochs <= 1_000_000,
        "--seed must be from 0 to 4,000,000,000": 0 <= s.seed <= 4_000_000_000,
        "--seeds must be from 1 to 1,000": 1 <= s.seeds <= 1000,
    }
    for complaint, fine in rules.items():
        if not fine:
            raise UsageError(complaint)
    return output_folder(s.out, CHECKPOINT, *FILES)


@command
def main(argv: Sequence[str] | None = None) -> Numbers:
    """Run with settings from the command line; exit with one line if they are wrong."""
    parser = argparse.ArgumentParser(
        description="Train a regularised network to read handwritten digits."
    )
    parser.set_defaults(**asdict(Settings()))
    add = parser.add_argument
    rates = ", ".join(f"{lr:g} for {name}" for name, lr in LEARNING_RATES.items())
    quick = f"at most {QUICK_EPOCHS} epochs and {QUICK_EXAMPLES} training examples"
    add(
        "--hidden",
        type=int,
        nargs="+",
        metavar="SIZE",
        help="units of each hidden layer, %(default)s",
    )
    add("--dropout", type=float, metavar="P", help="probability of dropping a unit, %(default)s")
    add("--no-batch-norm", dest="batch_norm", action="store_false", help="leave batch norm out")
    add("--l1", type=float, metavar="BETA", help="β of the penalty β Σ|W|, %(default)s")
    add("--l2", type=float, metavar="ALPHA", help="α of the penalty ½ α Σ‖W‖², %(default)s")
    add("--optimizer", choices=tuple(LEARNING_RATES), help="%(default)s")
    add("--lr", type=float, help=f"learning rate at the start, {rates}")
    add("--batch-size", type=int, metavar="N", help="examples for each step, %(default)s")
    add("--epochs", type=int, metavar="N", help="passes through the training set, %(default)s")
    add(
        "--seed",
        type=int,
        metavar="N",
        help="of split, first weights, order and masks, %(default)s",
    )
    add("--seeds", type=int, metavar="N", help="how many seeds, from --seed upwards, %(default)s")
    add("--out", metavar="DIR", help="folder for pictures, checkpoint and numbers, %(default)s")
    add("--quick", action="store_true", help=quick)
    add("--film", action="store_true", help="film the gradients; of a resumed run, from there on")
    add("--eager", action="store_true", help="do not compile the step: slower, the same numbers")
    add("--mnist", metavar="DIR", help="take MNIST, from the four files in this folder")
    add(
        "--resume", action="store_true", help="go on with the run that --out holds, if there is one"
    )
    arguments = vars(parser.parse_args(argv))
    resume = arguments.pop("resume")
    settings = Settings(**arguments | {"hidden": tuple(arguments["hidden"])})
    try:
        with on_ctrl_c(stop_now):
            return run(settings, resume)
    except checkpoint.CheckpointError as error:
        raise UsageError(f"--resume: {error}; or start over without --resume") from error
    except MemoryError as error:
        raise UsageError(
            f"not enough memory: {error}; choose a smaller --hidden or --batch-size"
        ) from error
    except OSError as error:
        raise UsageError(f"{in_words(error)}; then go on with --resume") from error
    except Stopped:
        words = sys.orig_argv if argv is None else [parser.prog, *argv]
        again = [*words, "--resume"] if not resume else words
        parser.exit(STOPPED, f"Stopped. To go on: {shlex.join(again)}\n")


if __name__ == "__main__":
    main()
