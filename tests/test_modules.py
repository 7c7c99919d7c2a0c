"""Modules find all that they hold, wherever it stands and whatever it is called, or say why not."""

import collections
import copy
import dataclasses
import functools
import itertools
import pickle
import types
import weakref

import numpy as np
import pytest

from tinygrad_reg import Tensor, draw, nn, no_grad, optim

X = np.ones((2, 2), np.float32)


def layer():
    return nn.Linear(2, 2, bias=False)


def parameter():
    return nn.Parameter([1.0, 2.0])


class Holds(nn.Module):
    """A module with whatever it is given."""

    def __init__(self, **held):
        for name, value in held.items():
            setattr(self, name, value)


Pair = collections.namedtuple("Pair", "first second")


@dataclasses.dataclass
class Record:
    first: object
    second: object = None


# --- Places --------------------------------------------------------------------------------------

PLACES = {
    "attribute": (lambda x: x, ["a"]),
    "list": (lambda x: [x, None, 3], ["a.0"]),
    "tuple": (lambda x: (0, x), ["a.1"]),
    "dict": (lambda x: {"key": x, 1: 2}, ["a.key"]),
    "number as key": (lambda x: {1: x}, ["a.1"]),
    "ordered dict": (lambda x: collections.OrderedDict(b=x), ["a.b"]),
    "nested": (lambda x: {"b": [(x, "text"), {"c": x}]}, ["a.b.0.0", "a.b.1.c"]),
    "namedtuple": (lambda x: Pair(None, x), ["a.1"]),
    "dataclass": (lambda x: Record([x]), ["a.first.0"]),
    "namespace": (lambda x: types.SimpleNamespace(b=x), ["a.b"]),
    "deque": (lambda x: collections.deque([x]), ["a.0"]),
    "user list": (lambda x: collections.UserList([x]), ["a.0"]),
    "user dict": (lambda x: collections.UserDict(b=x), ["a.b"]),
    "read-only dict": (lambda x: types.MappingProxyType({"b": x}), ["a.b"]),
}


@pytest.mark.parametrize("place", PLACES)
def test_modules_are_found_trained_switched_and_saved_wherever_they_stand(place):
    put, names = PLACES[place]
    inner = nn.Sequential(layer(), nn.Dropout())
    model = Holds(a=put(inner))
    assert list(model.state_dict()) == [f"{name}.0.weight" for name in names]
    assert [name for name, _ in model.children()] == names
    assert [p is inner[0].weight for p in model.parameters()] == [True]
    model.eval()
    assert not inner[1].training
    assert model.train()
    assert inner[1].training
    assert all(f"({name})" in repr(model) for name in names)
    assert model.astype(np.float64)
    assert inner[0].weight.dtype == np.float64


@pytest.mark.parametrize("place", PLACES)
def test_parameters_and_buffers_are_found_wherever_they_stand(place):
    put, names = PLACES[place]
    p, buffer = parameter(), Tensor([3.0, 4.0])
    assert [x is p for x in Holds(a=put(p)).parameters()] == [True]
    assert list(Holds(a=put(p)).state_dict()) == names
    model = Holds(a=put(buffer))
    assert list(model.parameters()) == []
    assert list(model.state_dict()) == names
    model.load_state_dict({name: [5.0, 6.0] for name in names})
    assert buffer.data.tolist() == [5, 6]


def test_what_is_put_into_a_list_later_is_found_too():
    model = Holds(layers=[], more={})
    model.layers += [layer()]
    model.more["scale"] = parameter()
    assert list(model.state_dict()) == ["more.scale", "layers.0.weight"]


REFUSED = {
    "set": lambda x: {x},
    "frozen set": lambda x: [frozenset([x])],
    "key": lambda x: {x: 1},
    "keys": lambda x: {x: 1}.keys(),
    "values": lambda x: {"a": x}.values(),
    "generator": lambda x: (y for y in [x]),
    "map": lambda x: map(abs, [x]),
    "iterator of a tuple": lambda x: iter((x,)),
    "iterator of values": lambda x: iter({"a": x}.values()),
    "chain": lambda x: itertools.chain([x]),
    "iterator": lambda x: iter([x]),
    "partial": lambda x: functools.partial(print, x),
    "keyword of partial": lambda x: functools.partial(print, end=[x]),
    "set in a dataclass": lambda x: Record({"a": {x}}),
}


@pytest.mark.parametrize("make", [layer, parameter, lambda: Tensor([1.0])])
@pytest.mark.parametrize("place", REFUSED)
def test_where_they_would_be_overlooked_is_an_error(place, make):
    with pytest.raises(TypeError, match=r"Module: a(\.\w+)* is a .*"):
        Holds(a=REFUSED[place](make()))


def test_a_module_in_an_array_of_objects_is_refused():
    array = np.empty(2, object)
    Holds(a=array)
    array[1] = layer()
    with pytest.raises(TypeError, match="a is a ndarray with a Linear in it"):
        Holds(a=array)


def test_what_gets_into_a_set_later_is_refused_when_it_would_be_missed():
    model = Holds(a=set())
    model.a.add(layer())
    for use in (model.eval, model.state_dict, lambda: optim.SGD(model.parameters())):
        with pytest.raises(TypeError, match="a is a set with a Linear in it"):
            use()


def test_sets_and_the_like_may_hold_other_things():
    result = parameter() * 2
    model = Holds(a={1, "b"}, b=functools.partial(print, 1), c={result}, d={(1, 2): "e"}, f=len)
    assert model.state_dict() == {}


def test_the_class_holds_nothing_that_belongs_to_an_instance():
    for value in (layer(), parameter(), Tensor(1.0), [layer()], {"a": parameter()}):
        with pytest.raises(TypeError, match="Shared: inner stands in the class"):
            type("Shared", (nn.Module,), {"inner": value})
    mixin = type("Mixin", (), {"inner": layer()})
    with pytest.raises(TypeError, match="Mixed: inner stands in the class"):
        type("Mixed", (mixin, nn.Module), {})
    with pytest.raises(TypeError, match=r"Slotted: .*__slots__"):
        type("Slotted", (nn.Module,), {"__slots__": ("layer",)})


def test_a_module_may_be_a_dataclass_which_compares_by_value_and_has_no_hash():
    @dataclasses.dataclass
    class Block(nn.Module):
        inner: nn.Linear
        scale: nn.Parameter
        other: list = dataclasses.field(default_factory=list)

        def forward(self, x):
            return self.inner(x) * self.scale

    block = Block(layer(), parameter())
    model = nn.Sequential(block, Block(layer(), parameter(), [block]))
    assert len(list(model.parameters())) == 4
    assert list(model.state_dict()) == [
        "0.scale", "0.inner.weight", "1.scale", "1.inner.weight", "1.other.0.scale",
        "1.other.0.inner.weight",
    ]  # fmt: skip
    model.astype(np.float64).eval()
    assert not block.training
    assert "∂" not in str(draw(model(X).sum(), model=model))


def test_parameters_are_told_apart_by_what_they_are_not_by_how_they_compare():
    class Equal(nn.Parameter):
        __slots__ = ()

        def __eq__(self, other):
            return True

        __hash__ = None

    model = Holds(a=Equal([1.0]), b=Equal([2.0]))
    assert len(list(model.parameters())) == 2
    assert [array.dtype for array in model.astype(np.float16).state_dict().values()] == ["f2", "f2"]
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    (model.a * 3 + model.b * 4).sum().backward()
    optimizer.step()
    assert (model.a.item(), model.b.item()) == (-2, -2)


def test_a_list_that_contains_itself_is_named():
    model = Holds(layers=[layer()])
    model.layers.append(model.layers)
    with pytest.raises(ValueError, match=r"list at layers.1 contains itself"):
        model.state_dict()


def test_a_module_is_shared_without_being_a_part():
    outer = Holds(inner=Holds())
    outer.inner.outer = weakref.ref(outer)
    assert [name for name, _ in outer.named_modules()] == ["", "inner"]


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        Holds(**{"a.weight": parameter(), "a": layer()}),
        Holds(**{"a": [layer()], "a.0.weight": parameter()}),
        Holds(a={1: parameter(), "1": parameter()}),
        Holds(a={"b.c": parameter(), "b": {"c": parameter()}}),
        Holds(a={1: layer(), "1": layer()}),
        Holds(**{"": layer()}),
    ],
)
def test_two_of_the_same_name_are_refused(model):
    for use in (model.state_dict, model.eval, lambda: list(model.parameters())):
        with pytest.raises(ValueError, match=r"Holds: '.*' is the name of two modules or tensors"):
            use()


def test_one_module_may_have_several_names_and_its_parameters_come_once():
    shared = layer()
    model = Holds(a=shared, b=[shared], c=shared.weight)
    assert list(model.state_dict()) == ["c", "a.weight", "b.0.weight"]
    assert [p is shared.weight for p in model.parameters()] == [True]
    state = model.state_dict()
    model.load_state_dict({name: array + 1 for name, array in state.items()})
    np.testing.assert_array_equal(shared.weight.data, state["c"] + 1)
    with pytest.raises(ValueError, match=r"c and b.0.weight are one tensor in this Holds"):
        model.load_state_dict(state | {"b.0.weight": state["c"] + 2})
    np.testing.assert_array_equal(shared.weight.data, state["c"] + 1)


@pytest.mark.parametrize("name", ["train", "weights", "children", "settings", "parameters"])
@pytest.mark.parametrize("value", [parameter(), layer(), [], 3, None])
def test_methods_are_not_hidden(name, value):
    with pytest.raises(TypeError, match=f"Holds: {name} is a method of modules"):
        Holds(**{name: value})


def test_methods_may_be_replaced_by_functions_and_by_subclasses():
    class Own(nn.Module):
        settings = property(lambda self: "", lambda self, value: None)

    Own().settings = 3
    model = Holds()
    model.train = lambda mode=True: "replaced"
    assert model.train() == "replaced"


def test_training_is_true_or_false():
    model = Holds()
    model.training = np.bool_(False)
    assert model.training is False
    with pytest.raises(TypeError, match="Holds: training must be True or False, not 'no'"):
        model.training = "no"


# --- Assignments ---------------------------------------------------------------------------------

INSTEAD = {
    "array": np.zeros((2, 2)),
    "number": 0.5,
    "text": "a",
    "function": len,
    "list": [],
    "numbers": [1.0, 2.0],
    "result": parameter() * 2,
}


@pytest.mark.parametrize("instead", INSTEAD)
def test_nothing_drops_out_of_a_module_by_an_assignment(instead):
    norm, model = nn.BatchNorm1d(2), Holds(inner=layer(), many=[layer()])
    for module, name, what in [
        (norm, "weight", "Parameter"), (norm, "running_mean", "buffer"), (model, "inner", "Linear"),
    ]:  # fmt: skip
        before = getattr(module, name)
        with pytest.raises(TypeError, match=f"{name} is a {what}, and .* None to take it away"):
            setattr(module, name, INSTEAD[instead])
        assert getattr(module, name) is before
    if instead != "list":
        with pytest.raises(TypeError, match="many is a list, and"):
            model.many = INSTEAD[instead]


def test_arithmetic_in_place_and_detached_tensors_do_not_replace_a_parameter():
    linear = layer()
    with pytest.raises(TypeError, match="weight is a Parameter"):
        linear.weight *= 2
    with pytest.raises(TypeError, match="weight is a Parameter"), no_grad():
        linear.weight *= 2
    with pytest.raises(TypeError, match="weight is a Parameter"):
        linear.weight = linear.weight.detach()
    assert list(linear.state_dict()) == ["weight"]


def test_what_is_replaced_by_its_like_or_taken_away_is_no_error():
    model = Holds(inner=layer(), many=[layer()], scale=parameter(), buffer=Tensor([1.0]))
    model.inner, model.scale, model.buffer = nn.ReLU(), parameter(), Tensor([2.0])
    assert list(model.state_dict()) == ["scale", "buffer", "many.0.weight"]
    model.inner, model.scale, model.buffer, model.many = parameter(), layer(), parameter(), []
    assert list(model.state_dict()) == ["inner", "buffer", "scale.weight"]
    model.inner = model.scale = None
    assert list(model.state_dict()) == ["buffer"]
    del model.buffer
    model.buffer = np.zeros(3)
    assert model.state_dict() == {}


@pytest.mark.parametrize("put", [lambda x: x, lambda x: [x], lambda x: {"b": x}])
def test_a_tensor_that_wants_a_gradient_is_a_parameter(put):
    w = Tensor([1.0], requires_grad=True)
    with pytest.raises(TypeError, match="Holds: a is a tensor that wants a gradient"):
        Holds(a=put(w))
    model = Holds(a=[], b=Tensor([1.0]))
    model.a.append(put(w))
    with pytest.raises(TypeError, match=r"a.0.* is a tensor that wants a gradient.*nn.Parameter"):
        optim.SGD(model.parameters())
    model.a.clear()
    model.b.requires_grad = True
    with pytest.raises(TypeError, match="b is a tensor that wants a gradient"):
        model.state_dict()


class Keeps(nn.Module):
    """Keeps what it is given and what it computes, and a running average."""

    def __init__(self):
        self.layer = layer()
        self.average = Tensor(np.zeros(2, np.float32))
        self.all = []

    def forward(self, x):
        self.x = x
        self.hidden = self.layer(x)
        self.all.append(self.hidden)
        self.both = [self.x, self.hidden]
        self.average = 0.5 * self.average + self.hidden.mean(axis=0).detach()
        self.lazy = getattr(self, "lazy", None) or nn.BatchNorm1d(2)
        return self.lazy(self.hidden)


def test_what_forward_keeps_is_not_saved_but_buffers_and_modules_are():
    model, state = Keeps(), ["average", "layer.weight"]
    for x in [X, Tensor(X), Tensor(X, requires_grad=True), Tensor(X) * 2, X]:
        model(x)
        assert list(model.state_dict())[:2] == state
        assert len(model.state_dict()) == 6
        with no_grad():
            model(X)
        assert list(model.state_dict())[:2] == state
    mean = (X @ model.layer.weight.data).mean(axis=0)
    model.average = Tensor(np.zeros(2, np.float32))
    model(X)
    model(X)
    np.testing.assert_allclose(model.average.data, 1.5 * mean, rtol=1e-6)
    with pytest.raises(TypeError, match=r"average is a buffer.*detach"):
        model.average = model.hidden


def test_forward_may_keep_now_a_parameter_and_now_a_result():
    class Masked(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(X)

        def forward(self, x):
            self.used = self.weight * 0.5 if self.training else self.weight
            return x @ self.used

    model = Masked()
    for mode in (False, True, False):
        model.train(mode)(X)
        assert len(list(model.parameters())) == 1


def test_a_buffer_that_somebody_computed_is_saved():
    model, encoder = Holds(), layer()
    with no_grad():
        model.prototypes = encoder(X)
    model.mean = encoder(X).mean().detach()
    assert list(model.state_dict()) == ["prototypes", "mean"]


def test_what_a_method_keeps_under_no_grad_may_be_replaced_by_anything():
    class Encoder(nn.Module):
        def __init__(self):
            self.layer = layer()

        def encode(self, x):
            self.hidden = self.layer(x)

    model = Encoder()
    with no_grad():
        model.encode(X)
    model.encode(X)
    assert list(model.state_dict()) == ["layer.weight"]


# --- Copies and sequences ------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_have_parameters_of_their_own_that_pictures_know(copied):
    model = nn.Sequential(layer(), nn.BatchNorm1d(2), layer())
    model[2].weight = model[0].weight
    model(X)
    other = copied(model.eval())
    assert list(other.state_dict()) == list(model.state_dict())
    assert len(list(other.parameters())) == len(list(model.parameters())) == 3
    assert all(p.node in nn.Parameter.nodes for p in other.parameters())
    assert not any(p is q for p in model.parameters() for q in other.parameters())
    assert not other[1].training
    np.testing.assert_array_equal(model(X).data, other(X).data)


def test_elements_of_a_sequence_may_be_replaced():
    model = nn.Sequential(layer(), nn.ReLU(), layer())
    model[1] = model[-1] = norm = nn.BatchNorm1d(2)
    assert [model[1], model[2]] == [norm, norm]
    assert len(list(model.parameters())) == 3
    part = model[:2]
    assert isinstance(part, nn.Sequential)
    assert list(part) == [model[0], norm]
    with pytest.raises(TypeError, match="Sequential: element 0 is function, not a module"):
        model[0] = layer
    with pytest.raises(TypeError, match="Sequential: the index must be a whole number"):
        model[:1] = layer()
    with pytest.raises(IndexError, match=r"Sequential\[3\] of 3 modules"):
        model[3] = layer()
    with pytest.raises(TypeError, match="does not support item assignment"):
        model.modules[0] = layer()


def test_children_of_a_subclass_decide():
    class Frozen(nn.Module):
        def __init__(self):
            self.teacher, self.student = layer(), layer()

        def children(self):
            yield "pupil", self.student

    assert list(Frozen().state_dict()) == ["pupil.weight"]


# --- Types ---------------------------------------------------------------------------------------


def test_only_floats_change_their_type_and_whole_numbers_keep_their_values():
    model = Holds(count=Tensor(np.array([1, 2**40])), mask=Tensor([True]), w=parameter())
    model.astype(np.float16)
    assert [x.dtype.name for x in (model.count, model.mask, model.w)] == [
        "int64",
        "bool",
        "float16",
    ]
    state = model.state_dict()
    model.load_state_dict(state | {"count": [3.0, 4.0], "mask": [0]})
    assert model.count.data.tolist() == [3, 4]
    for name, wrong in [("count", [0.5, 1]), ("count", [np.nan, 1]), ("mask", [2])]:
        with pytest.raises(ValueError, match=f"{name} is .* cannot hold its numbers; nothing was"):
            model.load_state_dict(state | {name: wrong})
    assert model.count.data.tolist() == [3, 4]
