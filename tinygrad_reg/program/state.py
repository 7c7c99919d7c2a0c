"""What changes between calls: parameters, buffers, gradients, what optimizers keep, generators.

Each part of the state has a place, from which it can be read and where it can be written, and a
name: "0.weight" for a tensor of a model, "SGD.velocity.0" for an array of an optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import shown
from ..module import Module
from ..nested import tree_paths, with_parts
from ..optim import Optimizer, Schedule, Stateful
from ..tensor import Tensor

Part = Any  # a Module, an Optimizer, a Schedule, a Tensor or a np.random.Generator


class Place:
    """A place where a part of the state is."""

    name: str

    def get(self) -> Any:
        """What is there now."""
        raise NotImplementedError

    def put(self, new: Any) -> None:
        """Put something else there."""
        raise NotImplementedError


class TensorPlace(Place):
    """The array in a tensor."""

    def __init__(self, name: str, tensor: Tensor) -> None:
        self.name = name
        self.tensor = tensor

    def get(self) -> Any:
        return self.tensor._array

    def put(self, new: Any) -> None:
        self.tensor._array = self.tensor.node.value = new


class GradPlace(Place):
    """The gradient that `backward` has left at a tensor."""

    def __init__(self, name: str, tensor: Tensor) -> None:
        self.name = f"{name}.grad"
        self.tensor = tensor

    def get(self) -> Any:
        grad = self.tensor.node.grad
        return grad._array if isinstance(grad, Tensor) and grad.node.function is None else grad

    def put(self, new: Any) -> None:
        self.tensor.node.grad = new


class ItemPlace(Place):
    """A number or an array among the attributes of an optimizer or a schedule."""

    def __init__(self, name: str, owner: Stateful, path: tuple[Any, ...]) -> None:
        self.name = ".".join(map(str, (name, *path)))
        self.owner = owner
        self.path = path

    def container(self) -> Any:
        """The dictionary or list in which it is."""
        inside: Any = vars(self.owner)
        for key in self.path[:-1]:
            inside = inside[key]
        return inside

    def get(self) -> Any:
        return self.container()[self.path[-1]]

    def put(self, new: Any) -> None:
        attributes, (name, *path) = vars(self.owner), self.path
        attributes[name] = with_item(attributes[name], path, new) if path else new


def with_item(tree: Any, path: Any, new: Any) -> Any:
    """The same list, tuple or dictionary with something else at the end of a path."""
    if not path:
        return new
    part = with_item(tree[path[0]], path[1:], new)
    if isinstance(tree, tuple):
        return with_parts(tree, [part if i == path[0] else x for i, x in enumerate(tree)])
    tree[path[0]] = part
    return tree


class State:
    """The modules, optimizers, schedules, tensors and generators that a function changes.

    Raises
    ------
    TypeError
        For anything else.
    """

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts = parts
        for part in parts:
            if not isinstance(part, (Module, Stateful, Tensor, np.random.Generator)):
                raise TypeError(
                    "compile: what changes between calls are modules, optimizers, schedules, "
                    f"tensors and generators, not {shown(part)}"
                )

    @property
    def modules(self) -> list[Module]:
        """All modules, also those inside others."""
        found = [
            m for part in self.parts if isinstance(part, Module) for _, m in part.named_modules()
        ]
        return list({id(module): module for module in found}.values())

    @property
    def objects(self) -> dict[str, Stateful]:
        """Optimizers and schedules, by the names of their classes."""
        found: dict[str, Stateful] = {}
        parts = [*self.parts]
        parts += [part.optimizer for part in self.parts if isinstance(part, Schedule)]
        for part in parts:
            if isinstance(part, Stateful) and not any(part is other for other in found.values()):
                name = base = type(part).__name__
                while name in found:
                    name = f"{base}{len(found)}"
                found[name] = part
        return found

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers, by their names."""
        named: list[tuple[str, Tensor]] = []
        for part in self.parts:
            if isinstance(part, Module):
                named += part.named_tensors()
            elif isinstance(part, Tensor):
                named.append((part.name or "tensor", part))
        for name, optimizer in self.objects.items():
            if isinstance(optimizer, Optimizer):
                named += [
                    (tensor.name or f"{name}.parameters.{i}", tensor)
                    for i, tensor in enumerate(optimizer.parameters)
                ]
        found: dict[str, Tensor] = {}
        seen = set()
        for name, tensor in named:
            if tensor.node not in seen:
                seen.add(tensor.node)
                unique = name
                while unique in found:
                    unique = f"{name}.{len(found)}"
                found[unique] = tensor
        return found

    def places(self) -> Iterator[Place]:
        """All places where arrays and numbers are."""
        for name, tensor in self.tensors.items():
            yield TensorPlace(name, tensor)
            yield GradPlace(name, tensor)
        for name, owner in self.objects.items():
            inside = {key: x for key, x in vars(owner).items() if key != owner.outside}
            for path, x in tree_paths(inside).items():
                if isinstance(x, np.ndarray) or type(x) in (int, float):
                    yield ItemPlace(name, owner, path)

    def settings(self) -> Iterator[tuple[Any, str, Any]]:
        """All that stays as it is in a program: an object, an attribute and its value.

        Another value there makes another program.
        """
        for module in self.modules:
            yield module, "training", module.training
            for name, x in vars(module).items():
                if name not in module._kept and name != "training":
                    yield module, name, x
        for tensor in self.tensors.values():
            yield tensor.node, "requires_grad", tensor.node.requires_grad
        for owner in self.objects.values():
            for name, x in vars(owner).items():
                if type(x) not in (int, float, np.ndarray):
                    yield owner, name, x
