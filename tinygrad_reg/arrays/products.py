"""Products of arrays: all of them are composed of `matmul` and elementwise multiplication."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from math import prod
from string import ascii_lowercase, ascii_uppercase
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .. import errors, primitives
from ..attributes import bare
from ..blocks import composite
from ..errors import shown
from ..operators import Operand, axes_of
from ..protocols import implements
from ..settings import check_int, check_list
from ..tensor import Tensor, apply, as_tensor
from .choices import diagonal
from .shapes import moveaxis


def vdot(x: Operand, y: Operand) -> Tensor:
    """Σ xᵢ yᵢ over all elements of two tensors of the same shape."""
    x, y = as_tensor(x), as_tensor(y)
    if x.shape != y.shape:
        raise ValueError(f"vdot: shapes {x.shape} and {y.shape} differ")
    return apply(np.vdot, x, y)


@implements(np.vdot)
def flat_vdot(x: Operand, y: Operand) -> Tensor:
    """`vdot`, which NumPy takes of flat arrays, whatever their shapes."""
    x, y = as_tensor(x), as_tensor(y)
    return vdot(x, y) if x.shape == y.shape else vdot(x.reshape(-1), y.reshape(-1))


def sum_of_squares(*arrays: Operand) -> Tensor:
    """Σ x² over all elements of all arrays: the squared norm, Euclidean or Frobenius."""
    return apply(primitives.sum_of_squares, *check_list("sum_of_squares", "arrays", arrays))


@implements(np.dot)
@composite
def dot(a: Operand, b: Operand) -> Tensor:
    """Σ x y over the last axis of x and the last but one of y (or its only one)."""
    x, y = as_tensor(a), as_tensor(b)
    if x.ndim == 0 or y.ndim == 0:
        return x * y
    if x.ndim <= 2 and y.ndim <= 2:
        return x @ y
    return contracted("dot", x, y, [-1], [-2 if y.ndim > 1 else -1])


@implements(np.inner)
@composite
def inner(a: Operand, b: Operand) -> Tensor:
    """Σ x y over the last axes of both."""
    x, y = as_tensor(a), as_tensor(b)
    return x * y if x.ndim == 0 or y.ndim == 0 else contracted("inner", x, y, [-1], [-1])


@implements(np.outer)
@composite
def outer(a: Operand, b: Operand) -> Tensor:
    """The products of all elements of a flat array with all of another."""
    return as_tensor(a).reshape(-1, 1) * as_tensor(b).reshape(1, -1)


@implements(np.tensordot)
@composite
def tensordot(a: Operand, b: Operand, axes: Any = 2) -> Tensor:
    """Σ x y over axes of both: their number, the last of a and the first of b, or two lists."""
    x, y = as_tensor(a), as_tensor(b)
    if not np.iterable(axes):
        n = check_int("tensordot: axes", axes, least=0)
        return contracted("tensordot", x, y, range(-n, 0), range(n))
    sides = [side if np.iterable(side) else [side] for side in axes]
    if len(sides) != 2:
        raise ValueError(f"tensordot: axes must be a number or a pair of lists, not {shown(axes)}")
    first, second = sides
    return contracted("tensordot", x, y, first, second)


def contracted(
    name: str, x: Tensor, y: Tensor, first: Iterable[int], second: Iterable[int]
) -> Tensor:
    """Σ x y over these axes of x and those of y, as a product of two matrices."""
    mine, other = axes_of(name, x.shape, tuple(first)), axes_of(name, y.shape, tuple(second))
    sides = [x.shape[i] for i in mine]
    if sides != [y.shape[i] for i in other]:
        raise ValueError(
            f"{name} of shape {x.shape} and {y.shape}: the axes {list(first)} of the first and "
            f"{list(second)} of the second must have equal sizes"
        )
    rows = [n for i, n in enumerate(x.shape) if i not in mine]
    columns = [n for i, n in enumerate(y.shape) if i not in other]
    n = prod(sides)
    left = moveaxis(x, mine, range(-len(mine), 0)).reshape(prod(rows), n)
    right = moveaxis(y, other, range(len(other))).reshape(n, prod(columns))
    return (left @ right).reshape(*rows, *columns)


@implements(np.kron)
@composite
def kron(a: Operand, b: Operand) -> Tensor:
    """A block for each element of a: that element times b."""
    x, y = as_tensor(a), as_tensor(b)
    n = max(x.ndim, y.ndim)
    mine = (1,) * (n - x.ndim) + x.shape
    other = (1,) * (n - y.ndim) + y.shape
    left = x.reshape([side for m in mine for side in (m, 1)])
    right = y.reshape([side for m in other for side in (1, m)])
    return (left * right).reshape([m * k for m, k in zip(mine, other)])


@implements(np.cross)
@composite
def cross(
    a: Operand, b: Operand, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Tensor:
    """The vector products of vectors of three elements, along an axis of each."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if x.shape[-1:] != (3,) or y.shape[-1:] != (3,):
        raise ValueError(f"cross of shape {x.shape} and {y.shape}: vectors must have 3 elements")
    ahead, behind = [1, 2, 0], [2, 0, 1]
    product = x[..., ahead] * y[..., behind] - x[..., behind] * y[..., ahead]
    return moveaxis(product, -1, axisc)


# --- einsum --------------------------------------------------------------------------------------

Labels: TypeAlias = list[int]  # one for each axis of an array
LETTERS = ascii_uppercase + ascii_lowercase  # as NumPy counts them
DOTS = -1


@implements(np.einsum)
@composite
def einsum(*operands: Any, optimize: Any = False) -> Tensor:
    """Einstein's summation: "ij,jk->ik" sums x[i, j] · y[j, k] over j, for all i and k.

    Parameters
    ----------
    *operands
        The subscripts, then the arrays, with "..." for axes that are broadcast; or NumPy's other
        form, each array followed by a list of its indices.
    optimize
        As NumPy's: how to find the order in which arrays are multiplied; False for that of the
        operands.

    Notes
    -----
    Two arrays at a time are multiplied: by `matmul` if an index is summed, else element by element.
    Gradients come out of these.

    Examples
    --------
    >>> einsum("ij,ij->i", [[1.0, 2.0]], [[3.0, 4.0]])
    Tensor([11.])
    """
    labels, output, arrays = parsed(operands)
    if all(x.dtype.kind != "f" for x in arrays):  # for them NumPy's sums have types of their own
        return as_tensor(np.einsum(*bare(operands), optimize=optimize))
    empty = [np.broadcast_to(0.0, x.shape) for x in arrays]
    interleaved = [part for pair in zip(empty, labels) for part in pair]
    try:  # what is wrong with the subscripts, NumPy says
        path, _ = np.einsum_path(*interleaved, output, optimize=optimize)
    except errors.NUMPY_ERRORS as error:
        raise errors.explained(error, np.einsum, empty, {}) from error
    pairs = [pair for term, x in zip(labels, arrays) for pair in zip(term, x.shape)]
    sizes = {label: n for label, n in pairs if n != 1}
    terms = [Term(x, term).simplified(sizes) for x, term in zip(arrays, labels)]
    for group in path[1:]:
        first, *others = [terms[i] for i in sorted(group)]
        terms = [term for i, term in enumerate(terms) if i not in group]
        while others:
            second, *others = others
            wanted = {*output, *(label for term in [*others, *terms] for label in term.labels)}
            first = first.times(second, wanted)
        terms.append(first)
    return terms[0].summed(output).in_order(output).array


class Term(NamedTuple):
    """An array with a label for each axis."""

    array: Tensor
    labels: Labels

    def simplified(self, sizes: dict[int, int]) -> Term:
        """Without labels that come twice, and without axes of size 1 that are to be broadcast."""
        x, labels = self
        for label in dict.fromkeys(labels):
            while labels.count(label) > 1:
                i = labels.index(label)
                j = labels.index(label, i + 1)
                x = diagonal(x, 0, i, j)
                labels = [*labels[:i], *labels[i + 1 : j], *labels[j + 1 :], label]
        kept = [i for i, label in enumerate(labels) if x.shape[i] == sizes.get(label, 1)]
        if len(kept) < len(labels):
            x = x.reshape([x.shape[i] for i in kept])
        return Term(x, [labels[i] for i in kept])

    def summed(self, wanted: Collection[int]) -> Term:
        """Summed over all labels that are not wanted."""
        axes = tuple(i for i, label in enumerate(self.labels) if label not in wanted)
        rest = [label for label in self.labels if label in wanted]
        return Term(self.array.sum(axes), rest) if axes else self

    def in_order(self, labels: Labels) -> Term:
        """With its axes in the order of these labels."""
        order = [self.labels.index(label) for label in labels]
        in_place = order == list(range(len(order)))
        return self if in_place else Term(self.array.transpose(order), labels)

    def size(self, labels: Labels) -> list[int]:
        """The sizes of the axes with these labels."""
        return [self.array.shape[self.labels.index(label)] for label in labels]

    def times(self, other: Term, wanted: Collection[int]) -> Term:
        """The product with another term, summed over labels that are not wanted."""
        x, y = self.summed({*wanted, *other.labels}), other.summed({*wanted, *self.labels})
        both = [label for label in x.labels if label in y.labels and label in wanted]
        summed = [label for label in x.labels if label in y.labels and label not in wanted]
        rows = [label for label in x.labels if label not in y.labels]
        columns = [label for label in y.labels if label not in x.labels]
        batch, n, m, k = x.size(both), x.size(rows), y.size(columns), x.size(summed)
        left = x.in_order([*both, *rows, *summed]).array
        right = y.in_order([*both, *summed, *columns]).array
        if summed:
            left = left.reshape([*batch, prod(n), prod(k)])
            right = right.reshape([*batch, prod(k), prod(m)])
            product = (left @ right).reshape([*batch, *n, *m])
        else:
            product = left.reshape([*batch, *n, *[1] * len(m)]) * right.reshape(
                [*batch, *[1] * len(n), *m]
            )
        return Term(product, [*both, *rows, *columns])


def parsed(operands: Sequence[Any]) -> tuple[list[Labels], Labels, list[Tensor]]:
    """The labels of the axes of each array, those of the result, and the arrays."""
    if len(operands) < 2:
        raise TypeError("einsum: subscripts and arrays are needed, as in einsum('ij,jk->ik', x, y)")
    if isinstance(operands[0], str):
        before, arrow, after = operands[0].replace(" ", "").replace("...", "…").partition("->")
        terms, given = [numbers(term) for term in before.split(",")], operands[1:]
        output = numbers(after) if arrow else None
    else:  # array, labels, array, labels, …, and perhaps the labels of the result
        if not all(map(np.iterable, operands[1::2])):
            raise TypeError("einsum: a list of indices follows each array, as in einsum(x, [0, 1])")
        terms = [numbers(term) for term in operands[1::2]]
        given = operands[0 : 2 * len(terms) : 2]
        output = numbers(operands[-1]) if len(operands) % 2 else None
    arrays = [as_tensor(x) for x in given]
    if len(terms) != len(arrays):
        raise ValueError(f"einsum: {len(terms)} terms of subscripts for {len(arrays)} arrays")
    for term, x in zip(terms, arrays):
        named = len(term) - term.count(DOTS)
        if named > x.ndim or (named < x.ndim and DOTS not in term):
            raise ValueError(f"einsum: subscripts for {named} axes of an array of shape {x.shape}")
    used = [label for term in terms for label in term]
    if output is None:  # by default those that come once, in alphabetical order
        output = [DOTS] * (DOTS in used)
        output += sorted(label for label in {*used} - {DOTS} if used.count(label) == 1)
    # Labels of their own for the axes that dots stand for, which are counted from the last.
    counts = [max(x.ndim - len(term) + 1, 0) * (DOTS in term) for x, term in zip(arrays, terms)]
    unused = [label for label in range(len(LETTERS)) if label not in used]
    labels = [with_dots(term, unused, n) for term, n in zip(terms, counts)]
    if DOTS not in output and max(counts) > 0:
        raise ValueError(
            "einsum: the result must have '...', too, for the axes that they stand for"
        )
    return labels, with_dots(output, unused, max(counts)), arrays


def numbers(labels: Iterable[Any]) -> Labels:
    """Labels as NumPy counts letters, and DOTS for "..."."""
    named = ["…" if label is ... else label for label in labels]
    if named.count("…") > 1:
        raise ValueError("einsum: '...' stands at most once in the subscripts of an array")
    for label in named:
        if isinstance(label, str) and label not in (*LETTERS, "…"):
            raise ValueError(f"einsum: subscripts are letters, '...', ',' and '->', not {label!r}")
        if not isinstance(label, str) and label not in range(len(LETTERS)):
            raise ValueError(f"einsum: indices are whole numbers from 0 to 51, not {label!r}")
    return [
        DOTS if label == "…" else LETTERS.index(label) if isinstance(label, str) else label
        for label in named
    ]


def with_dots(term: Labels, unused: Labels, n: int) -> Labels:
    """Labels with the last n unused ones in the place of the dots."""
    if DOTS not in term:
        return term
    i = term.index(DOTS)
    return [*term[:i], *unused[len(unused) - n :], *term[i + 1 :]]
