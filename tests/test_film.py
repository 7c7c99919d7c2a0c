"""`Film`: frames are the drawings of their moments, and nothing but numbers is kept."""

import gc
import re
import sys
import weakref

import numpy as np
import pytest

import tinygrad_reg.functional as F
from tinygrad_reg import Film, StaleValueError, Tensor, draw, nn, optim
from tinygrad_reg.drawing import NoRendererError, TooLargeError


def training(film, steps=6, batches=(5, 4)):
    """Train a little network, with batches of unequal size."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 4, rng=rng), nn.Tanh(), nn.Linear(4, 2, rng=rng))
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    drawings = []
    for step in range(steps):
        n = batches[step % len(batches)]
        x = Tensor(rng.normal(size=(n, 3)).astype(np.float32), name="x")
        loss = F.cross_entropy(model(x), rng.integers(0, 2, n)) / n
        film.record(loss)
        drawings.append(draw(loss, None, gradients=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return drawings


def seen(graph):
    return [(n.value, n.gradient, n.parts, n.flags, n.shape) for n in graph.nodes]


@pytest.mark.parametrize(
    ("every", "labels"),
    [
        (1, ["step 1", "step 2", "step 3", "step 4", "step 5", "step 6"]),
        (2, ["step 1", "step 3", "step 5"]),
        (5, ["step 1", "step 6"]),
        (100, ["step 1"]),
    ],
)
def test_a_frame_is_the_drawing_of_every_so_many_steps(every, labels):
    film = Film(every)
    drawings = training(film)
    assert [label for label, _ in film.frames] == labels
    for (_, graph), drawing in zip(film.frames, drawings[::every]):
        assert seen(graph) == seen(drawing.graph)


def test_filming_changes_nothing():
    def trained(film):
        rng = np.random.default_rng(3)
        model = nn.Sequential(nn.Linear(3, 4, rng=rng), nn.Dropout(0.5, rng=rng))
        optimizer = optim.Adam(model.parameters())
        for _ in range(4):
            loss = model(rng.normal(size=(6, 3)).astype(np.float32)).mean()
            optimizer.zero_grad()
            loss.backward()
            before = [parameter.grad for parameter in model.parameters()]
            if film is not None:
                film.record(loss)
            assert all(a is p.grad for a, p in zip(before, model.parameters()))
            optimizer.step()
        return [parameter.numpy().tobytes() for parameter in model.parameters()]

    assert trained(Film()) == trained(None)


def test_a_frame_keeps_no_array_alive():
    gc.disable()
    try:
        x = Tensor(np.ones((30, 40)), requires_grad=True)
        loss = (x * 2).sum()
        gone = weakref.ref(loss.node.inputs[0])
        film = Film()
        film.record(loss)
        del loss
        assert gone() is None
    finally:
        gc.enable()


def test_labels_and_dotted_names(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2, rng=np.random.default_rng(0)))
    film = Film(model=model)
    film.record(model(np.ones((3, 2), np.float32)).sum(), "before")
    film.record(model(np.ones((3, 2), np.float32)).sum())
    assert [label for label, _ in film.frames] == ["before", "step 2"]
    names = {node.name for node in film.frames[0][1].nodes}
    assert {"0.weight", "0.bias"} <= names
    film.save(tmp_path / "film.html")
    page = (tmp_path / "film.html").read_text(encoding="utf-8")
    assert '"before, result ' in page
    assert '"step 2, result ' in page


def test_another_graph_is_refused_and_nothing_is_recorded():
    x = Tensor([1.0, 2.0], requires_grad=True)
    film = Film()
    film.record((x * 2).sum())
    for other, message in [
        ((x + 2).sum(), r"add\(#1, …\) instead of multiply\(#1, …\)"),
        (((x * 2) * 2).sum(), r"multiply\(#2, …\) instead of sum\(#2\)"),
        (x.sum(), r"sum\(#1\) instead of multiply\(#1, …\)"),
    ]:
        with pytest.raises(ValueError, match="Film: the graph differs.*" + message):
            film.record(other)
    film.record((x * 3).sum())  # a Python number may depend on the size of the batch
    assert [label for label, _ in film.frames] == ["step 1", "step 2"]


def test_freezing_a_parameter_is_another_graph():
    a, b = (Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    film = Film()
    film.record((a * b).sum())
    b.requires_grad = False
    with pytest.raises(ValueError, match=r"input\(\) without gradient instead of parameter\(\)"):
        film.record((a * b).sum())


def test_what_would_keep_it_from_being_saved_is_said_before_the_training(monkeypatch):
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(2000):
        y = y + x
    with pytest.raises(TooLargeError, match="Film: Graphviz would take very long"):
        Film().record(y)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(NoRendererError):
        Film().record(x * 2)


def test_recording_comes_before_the_step_of_the_optimizer():
    w = Tensor(2.0, requires_grad=True, name="w")
    loss = w * w
    loss.backward()
    optim.SGD([w], lr=0.1).step()
    film = Film()
    with pytest.raises(StaleValueError, match="'w'"):
        film.record(loss)
    assert film.frames == []


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Film(0), ValueError, "Film: every"),
        (lambda: Film(1.5), TypeError, "Film: every"),
        (lambda: Film(model=3), TypeError, "Film: model must be a module, not 3"),
        (lambda: Film().record(3.0), TypeError, "only tensors have graphs"),
        (
            lambda: Film().record(Tensor(1.0, requires_grad=True) * 2, 3),
            TypeError,
            "Film: a label must be text, not 3",
        ),
        (
            lambda: Film().record(Tensor([1.0, 2.0], requires_grad=True) * 2),
            ValueError,
            "single number",
        ),
        (lambda: Film().save("x.html"), ValueError, "Film: there is no frame yet; call record"),
        (lambda: Film().save("x.svg"), ValueError, re.escape("must end in .html")),
        (lambda: Film().save(3), TypeError, "Film: the name of a file"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    film = Film()
    film.record(Tensor(1.0, requires_grad=True) * 2)
    with pytest.raises(FileNotFoundError, match="Film: cannot write here"):
        film.save(tmp_path / "missing" / "film.html")
