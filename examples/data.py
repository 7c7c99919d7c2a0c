"""The data of the lessons: what comes with scikit-learn, and two toys made by a formula."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_moons,
)
from sklearn.model_selection import train_test_split

Array: TypeAlias = npt.NDArray[Any]

LOADERS = {
    "digits": load_digits,  # 1,797 images of 8×8 pixels, 10 classes
    "breast_cancer": load_breast_cancer,  # 569 tumours, 30 measurements, 2 classes
    "wine": load_wine,  # 178 wines, 13 measurements, 3 classes
    "diabetes": load_diabetes,  # 442 patients, 10 measurements, a number to predict
}


@lru_cache
def raw(name: str) -> tuple[Array, Array]:
    """All examples as they come, read once."""
    x, y = LOADERS[name](return_X_y=True)
    return x, y


class Data(NamedTuple):
    """x (n, features), and labels (n,) or numbers to predict (n,), in three disjoint parts.

    Training examples make gradients, validation examples choose settings, and test examples are
    looked at once, at the end.
    """

    x: Array
    y: Array
    x_validation: Array
    y_validation: Array
    x_test: Array
    y_test: Array


def load(name: str, seed: int, train: int | None = None, dtype: Any = np.float32) -> Data:
    """One of LOADERS, split 60 : 20 : 20 (by class, where there are classes) and standardised.

    The split depends on the seed.  `train` leaves only so many training examples.  Means and
    deviations are those of the training examples; pixels share one deviation, for one of its own
    would blow up the noise of a pixel that is nearly always blank.
    """
    x, y = raw(name)
    classes = y if y.dtype.kind == "i" else None
    x_rest, x_test, y_rest, y_test = train_test_split(
        x, y, test_size=0.2, stratify=classes, random_state=seed
    )
    classes = y_rest if classes is not None else None
    x, x_validation, y, y_validation = train_test_split(
        x_rest, y_rest, test_size=0.25, stratify=classes, random_state=seed
    )
    if train is not None:
        classes = y if classes is not None else None
        x, _, y, _ = train_test_split(x, y, train_size=train, stratify=classes, random_state=seed)
    mean, deviation = x.mean(axis=0), x.std() if name == "digits" else x.std(axis=0)
    x, x_validation, x_test = (
        ((part - mean) / deviation).astype(dtype) for part in (x, x_validation, x_test)
    )
    return Data(x, y, x_validation, y_validation, x_test, y_test)


def moons(n: int, noise: float, seed: int) -> tuple[Array, Array]:
    """Two half moons: x (n, 2), float32, and labels 0 and 1."""
    x, y = make_moons(n, noise=noise, random_state=seed)
    return x.astype(np.float32), y


def spirals(n: int, noise: float, seed: int, turns: float = 1.5) -> tuple[Array, Array]:
    """Two spirals around each other: x (n, 2), float32, in about ±1, and labels 0 and 1."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    radius = np.sqrt(rng.uniform(0.02, 1, n))
    angle = 2 * np.pi * turns * radius + np.pi * y
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (x + noise * rng.standard_normal((n, 2))).astype(np.float32), y


def batches(n: int, size: int, rng: np.random.Generator) -> Iterator[Array]:
    """One epoch: the indices of n examples in random order, in parts of nearly equal size."""
    yield from np.array_split(rng.permutation(n), max(1, round(n / size)))
