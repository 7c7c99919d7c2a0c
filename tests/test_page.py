"""The page: what it shows is what `backward` computes, in any order of clicks and keys."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import neuron

import tinygrad_reg.functional as F
from tinygrad_reg import Film, Tensor, draw, draw_backward, nn, optim, scope
from tinygrad_reg.drawing import NoRendererError
from tinygrad_reg.drawing.render import render
from tinygrad_reg.graph import fitted, sweep

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

try:
    render("digraph {}", "svg")
except NoRendererError:
    pytest.skip("needs Graphviz", allow_module_level=True)

BROWSERS = "chromium", "chromium-browser", "google-chrome", "chrome"
HOSTILE = {
    "script": "</script><script>alert(1)</script><!--",
    "markup": "<img src=x onerror=alert(2)> & &lt;b&gt; \"double\" 'single' ::a<b>",
    "template": "${alert(3)} $title `x` \\N \\G {{}} %s",
    "lines": "one\ntwo\r\nthree\ttab \x00 \u2028 \ud800",
    "scripts": "Ünïcödé 名前 👩‍🔬 عربي",
    "long": "n" * 10_000,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser: $CHROMIUM, one on PATH, or the one that Playwright has installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright and Chromium")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with playwright.sync_playwright() as engine:
        if path is None and not Path(engine.chromium.executable_path).exists():
            pytest.skip("needs Chromium: install it, or `playwright install chromium`")
        browser = engine.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """visit(path, **options) opens a page; at the end nobody has complained or asked for more."""
    contexts, complaints = [], []

    def visit(path: Path, **options: Any) -> Any:
        options = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | options
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
        asked.append(path.as_uri())
        page.goto(path.as_uri())
        return page

    requests: list[str] = []
    asked: list[str] = []
    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
    assert requests == asked


def model_and_loss() -> tuple[nn.Sequential, Tensor]:
    """Boxes three deep, weights used twice, and all kinds of leaves."""
    rng = np.random.default_rng(1)
    model = nn.Sequential(
        nn.Linear(4, 5, rng=rng), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5, rng=rng),
        nn.Linear(5, 3, rng=rng),
    ).astype(np.float64)  # fmt: skip
    x = Tensor(rng.normal(size=(6, 4)), name="x")
    loss = F.cross_entropy(model(x), rng.integers(0, 3, 6)) + F.l2_penalty(model.weights(), 0.125)
    loss.name = "loss"
    return model, loss


def saved(tmp_path: Path, drawing: Any) -> Path:
    path = tmp_path / "page.html"
    drawing.save(path)
    return path


def seen(page: Any, key: str) -> Any:
    """A node or box in the picture that is shown."""
    return page.locator(f".view:not([hidden]) [data-key={key}]:is(.node, .cluster):not(.gone)")


def text(page: Any, selector: str) -> str:
    return re.sub(r"\n+", "\n", page.locator(selector).inner_text())


def details(page: Any) -> str:
    return text(page, "#details")


def click(page: Any, selector: str) -> None:
    """Click, though it may be out of sight in a picture that is zoomed."""
    page.locator(selector).dispatch_event("click")


def shown_numbers(array: Any) -> list[str]:
    """What the panel must say of an array."""
    array = np.asarray(array)
    if array.size <= 12:
        return [str(x) for x in array.reshape(-1)]
    found = array.mean(), array.std(), np.sqrt((array**2).sum()), array.min(), array.max()
    digits = [re.sub(r"e([+-])0*", r"e\1", f"{x:.5g}").replace("e+", "e") for x in found]
    return [*digits, f"{100 * np.mean(array == 0):.3g} %"]


def panel_numbers(page: Any, selector: str) -> list[str]:
    return list(page.locator(f"{selector} :is(.number, .figures dd, td)").all_inner_texts())


def same(found: list[str], expected: list[str]) -> bool:
    """Python and JavaScript write small numbers differently."""

    def number(text: str) -> object:
        return float(text.removesuffix(" %")) if re.match(r"[-\d]", text) else text

    return list(map(number, found)) == pytest.approx(list(map(number, expected)), rel=1e-9)


# --- The file ------------------------------------------------------------------------------------


def test_the_page_of_the_digits_network_is_small_and_alone(tmp_path):
    train_digits = pytest.importorskip("train_digits", reason="needs the extra `examples`")
    settings = train_digits.Settings()
    examples = np.random.default_rng(0).random((1000, 64), np.float32), np.arange(1000) % 10
    model = train_digits.build_model(settings, examples[0], np.random.default_rng(0))
    x, y = (values[:32] for values in examples)
    loss = train_digits.objective(model, x, y, settings)
    path = saved(tmp_path, draw(loss, gradients=True, model=model))
    markup = path.read_text(encoding="utf-8")
    assert len(markup.encode()) < 1_000_000
    assert not re.search(
        r"""\s(src|href|style|on\w+)=|url\(|@import|https?:""",
        markup.replace('createElementNS("http://www.w3.org/2000/svg"', ""),
    )
    assert markup.count("<script") == 2
    assert "default-src 'none'" in markup
    assert "unsafe" not in markup
    ids = re.findall(r'\sid="([^"]*)"', markup)
    assert len(ids) == len(set(ids))


def test_the_same_program_gives_the_same_page(tmp_path):
    first = saved(tmp_path, draw(model_and_loss()[1], gradients=True)).read_bytes()
    assert saved(tmp_path, draw(model_and_loss()[1], gradients=True)).read_bytes() == first


def test_without_javascript_the_first_picture_is_visible(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)), java_script_enabled=False)
    assert page.locator(".view:visible").count() == 1
    assert page.locator(".view:visible .node").count() == 7
    assert page.locator("#legend").is_visible()
    assert not page.locator("button:visible, input:visible").count()


# --- The backward pass ---------------------------------------------------------------------------


def test_each_step_shows_the_numbers_of_the_sweep(tmp_path, visit):
    model, loss = model_and_loss()
    page = visit(saved(tmp_path, draw(loss, gradients=True, model=model)))
    steps = list(sweep(loss.node, np.ones(())))
    assert page.locator("#backward input").get_attribute("max") == str(len(steps))
    names = {tensor.node: name for name, tensor in model.named_parameters()}
    for number, (node, g) in enumerate(steps, start=1):
        page.keyboard.press("ArrowRight")
        said = details(page)
        assert f"step {number} of {len(steps)}" in said
        looks = f"{node.value.shape} {node.value.dtype}"
        assert looks.replace(" ", "") in said.replace(" ", "")
        if node in names:
            assert said.startswith(names[node])
        elif node.function is not None:
            assert said.startswith(node.name or node.function.__name__)
        numbers = panel_numbers(page, "#details section")
        expected = shown_numbers(g) if not page.locator(".sum").count() or g.ndim else []
        for position, rule in node.edges:
            part = rule(g, node.value, *node.values, **node.metadata)
            expected += shown_numbers(fitted(part, node.inputs[position].value, node.function))
        assert same(numbers, expected), said
        if page.locator(".sum").count() and not g.ndim:
            assert text(page, ".sum li:last-child b") == str(g)
    loss.backward()
    for name, tensor in model.named_parameters():  # and these are the gradients of training
        page.fill("#query", name)
        page.keyboard.press("Enter")
        assert details(page).startswith(name)
        expected = shown_numbers(tensor.grad.numpy())
        assert same(panel_numbers(page, "#details section")[: len(expected)], expected)


def test_a_sum_names_its_parts(tmp_path, visit):
    drawing = draw(neuron(), gradients=True)
    page = visit(saved(tmp_path, drawing))
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    lines = [" ".join(line.split()) for line in page.locator(".sum li").all_inner_texts()]
    assert lines == ["1.0 from y, input 1", "+ 1.0 from y, input 2", "= 2.0"]
    step, said = text(page, "#caption").split(": ", 1)
    assert step == "Step 2 of 6"
    rule = drawing.graph.nodes[5].rules[0]
    assert said == f"b, gradient 1.0 + 1.0 = 2.0 arrives; to add #5: {rule} = 2.0."
    assert page.locator("#caption").get_attribute("role") == "status"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert (
        text(page, "#caption")
        == "Step 4 of 6: multiply #3, gradient 2.0 arrives; to w: ḡ · x = 4.0."
    )
    assert "to x: no gradient flows there" in details(page)


def test_parts_stand_in_the_order_in_which_they_arrive(tmp_path, visit):
    w = Tensor(2.0, requires_grad=True, name="w")
    first, second = w * 3, w * 5
    first.name, second.name = "first", "second"
    page = visit(saved(tmp_path, draw(first + second + w * 7, gradients=True)))
    page.keyboard.press("End")
    lines = [" ".join(line.split()) for line in page.locator(".sum li").all_inner_texts()]
    assert lines == ["7.0 from multiply #5", "+ 5.0 from second", "+ 3.0 from first", "= 15.0"]
    page.keyboard.press("ArrowLeft")  # to first, whose second argument is a number, and no node
    assert details(page).startswith("first\nw × 3\n")
    assert page.locator(".part").count() == 1


def test_nodes_light_up_as_the_gradient_reaches_them(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)))

    def stages() -> dict[str, str]:
        return page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll(
              ".view:not([hidden]) .node:not(.gone)")].map((node) => [node.dataset.key,
              ["current", "done", "partly", "wait", "outside"].find(
                (name) => node.classList.contains(name)) ?? ""]))"""
        )

    assert set(stages().values()) == {""}
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    order = {"n1": "wait", "n2": "outside", "n3": "wait", "n4": "wait", "n5": "partly"}
    assert stages() == order | {"n6": "current", "n7": "done"}
    page.keyboard.press("End")
    assert stages() == dict.fromkeys(order | {"n6": "", "n7": ""}, "done") | {
        "n1": "current", "n2": "outside",
    }  # fmt: skip


def test_the_gradient_flows_against_the_arrows(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    shown = page.locator(".view:not([hidden])")
    assert shown.locator(".pill.came").all_text_contents() == ["1", "1"]
    assert shown.locator(".pill.sent").all_text_contents() == ["2"]
    assert shown.locator(".edge.used").count() == 3
    # The tip is where the edge begins: at the input that the gradient goes to.
    assert page.evaluate(
        """() => {
          const box = (selector) => document.querySelector(
            `.view:not([hidden]) ${selector}`).getBoundingClientRect();
          const flow = box(".flow.sent"), tips = [...document.querySelectorAll(
            ".view:not([hidden]) .tip")].map((tip) => tip.getBoundingClientRect());
          return Math.abs(tips.at(-1).top - flow.top) < 3
            && Math.abs(tips[0].top - box(".flow.came").top) < 3;
        }"""
    )


def test_the_slider_and_every_key_walk_the_same_steps(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)))
    slider = page.locator("#backward input")
    walk = {"End": 6, "ArrowLeft": 5, "Home": 0, "Shift+ArrowLeft": 0, "ArrowRight": 1}
    for key, step in walk.items():
        page.keyboard.press(key)
        assert slider.input_value() == str(step)
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert text(page, "#caption").startswith("Step 2 of 6: b,")
    slider.fill("5")
    assert text(page, "#caption").startswith("Step 5 of 6: c,")
    for name, step in [("Back", 4), ("To the end", 6), ("To the start", 0), ("Forward", 1)]:
        page.get_by_role("group", name="Backward").get_by_role("button", name=name).click()
        assert slider.input_value() == str(step)


def test_play_goes_to_the_end_and_can_be_paused(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)))
    page.select_option("#backward select", "200")
    player = page.get_by_role("group", name="Backward")
    player.get_by_role("button", name="Play").click()
    assert text(page, "#caption").startswith("Step 1")
    player.get_by_role("button", name="Pause").click()
    assert player.get_by_role("button", name="Play").count() == 1
    page.locator("body").press("Space")
    player.get_by_role("button", name="Pause").wait_for()
    player.get_by_role("button", name="Play").wait_for()
    assert page.locator("#backward input").input_value() == "6"


def test_a_drawing_without_gradients_says_how_to_get_them(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron())))
    assert "draw(loss, gradients=True)" in text(page, "#caption")
    assert not page.locator("#backward").is_visible()
    page.keyboard.press("ArrowRight")
    seen(page, "n1").click()
    assert details(page).startswith("w\nparameter · () float64")


def test_the_backward_pass_as_a_graph_has_its_page_too(tmp_path, visit):
    page = visit(saved(tmp_path, draw_backward(neuron(), side="both")))
    page.fill("#query", "∂y/∂w")
    page.keyboard.press("Enter")
    assert "4.0" in details(page)
    assert not page.locator("#players").is_visible()


# --- Boxes ---------------------------------------------------------------------------------------


def test_boxes_open_and_close_one_by_one(tmp_path, visit):
    page = visit(saved(tmp_path, draw(model_and_loss()[1], gradients=True)))
    boxes = {name: key for key, name in page.evaluate(
        "() => JSON.parse(document.getElementById('data').textContent)"
        ".boxes.map((box) => [`b${box.id}`, box.label])")}  # fmt: skip

    def toggle(name: str) -> None:
        click(page, f".view:not([hidden]) .toggle[data-key={boxes[name]}]")

    def count() -> int:
        return page.locator(".view:not([hidden]) .node:not(.gone):not(.cluster)").count()

    def picture() -> int:
        return page.locator(".view").evaluate_all("(views) => views.findIndex((v) => !v.hidden)")

    page.click("#depths button:text-is('0')")
    closed = count()
    assert picture() == 0
    assert seen(page, boxes["Sequential (training)"]).get_attribute("aria-expanded") == "false"
    toggle("Sequential (training)")
    assert picture() not in (0, 1), "a picture in which only this one is open"
    opened = seen(page, boxes["Sequential (training)"])
    assert opened.get_attribute("aria-expanded") == "true"
    assert seen(page, boxes["cross_entropy"]).locator("text").first.is_visible()
    assert "plate" not in seen(page, boxes["cross_entropy"]).get_attribute("class")
    toggle("Linear")
    assert "plate" in seen(page, boxes["cross_entropy"]).get_attribute("class")
    toggle("Linear")
    toggle("Sequential (training)")
    assert (picture(), count()) == (0, closed)
    page.click("#depths button:text-is('all')")
    assert count() == page.evaluate(
        "() => JSON.parse(document.getElementById('data').textContent).nodes.length"
    )
    toggle("BatchNorm1d")
    plate = seen(page, boxes["BatchNorm1d"])
    assert "plate" in plate.get_attribute("class")
    assert plate.text_content().startswith("BatchNorm1d")
    inside = page.evaluate(
        """(box) => JSON.parse(document.getElementById('data').textContent).nodes.filter(
          (node) => `b${node.box}` === box).map((node) => `n${node.id}`)""",
        boxes["BatchNorm1d"],
    )
    assert len(inside) > 8
    assert not any(seen(page, key).count() for key in inside)
    plate.dispatch_event("dblclick")
    assert all(seen(page, key).count() for key in inside)


def test_a_closed_box_lights_up_for_what_is_in_it(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)))
    for depth in "0", "all":
        page.click("#depths button:text-is('all')")
        if depth == "0":
            page.click("#depths button:text-is('0')")
        else:
            click(page, ".view:not([hidden]) .toggle[data-key=b1]")
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert "current" in seen(page, "b1").get_attribute("class").split()
        assert not seen(page, "n6").count()
        flows = page.locator(".view:not([hidden])")
        assert flows.locator(".pill.came").all_text_contents()[0] == "1"
        assert flows.locator(".pill.sent").all_text_contents() == ["2"]


def test_at_each_step_one_thing_is_lit(tmp_path, visit):
    page = visit(saved(tmp_path, draw(model_and_loss()[1], gradients=True)))
    for depth in "0", "1", "all":
        page.click(f"#depths button:text-is('{depth}')")
        page.keyboard.press("Home")
        lit = []
        for _ in range(int(page.locator("#backward input").get_attribute("max"))):
            page.keyboard.press("ArrowRight")
            (key,) = page.locator(".view:not([hidden]) .current").evaluate_all(
                "(lit) => lit.map((element) => element.dataset.key)"
            )
            lit.append(key)
        boxes = [key for key in lit if key.startswith("b")]
        assert bool(boxes) == (depth != "all")


def test_an_edge_ends_at_the_plate_that_covers_its_node(tmp_path, visit):
    page = visit(saved(tmp_path, draw(model_and_loss()[1], gradients=True)))
    page.click("#depths button:text-is('all')")
    page.evaluate("""() => {
      for (const toggle of document.querySelectorAll(".view:not([hidden]) .toggle")) {
        const name = document.querySelector(
          `.view:not([hidden]) [data-key=${toggle.dataset.key}]`).getAttribute("aria-label");
        if (name.startsWith("box ReLU")) {
          toggle.dispatchEvent(new MouseEvent("click", { bubbles: true }));
          break;
        }
      }
    }""")
    for _ in range(8):
        page.keyboard.press("+")
    assert page.locator(".view:not([hidden]) .arrow").count() == 1
    assert page.evaluate("""() => {
      const arrow = document.querySelector(".view:not([hidden]) .arrow").getBoundingClientRect();
      const plate = document.querySelector(".view:not([hidden]) .plate").getBoundingClientRect();
      return Math.abs(arrow.bottom - plate.top) < 3;
    }""")


def test_boxes_that_could_not_be_laid_out_open_stay_closed(tmp_path, visit, monkeypatch):
    monkeypatch.setattr("tinygrad_reg.drawing.page.LARGEST", 0)
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)))
    assert page.locator(".view").count() == 1
    assert not page.locator(".toggle").count()
    seen(page, "b1").dispatch_event("dblclick")
    page.fill("#query", "maximum")
    page.keyboard.press("Enter")
    assert details(page).startswith("b\n")
    assert seen(page, "b1").count() == 1
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    assert text(page, "#caption").startswith("Step 6 of 6")


def test_deeply_nested_boxes_need_few_pictures(tmp_path, visit):
    y = Tensor(2.0, requires_grad=True, name="x")
    with ExitStack() as stack:
        for i in range(12):
            stack.enter_context(scope(f"level {i}"))
            y = y * 2.0
    page = visit(saved(tmp_path, draw(y, gradients=True)))
    assert page.locator(".view").count() == 6
    page.click("#depths button:text-is('all')")
    page.locator(".view:not([hidden]) .toggle").nth(7).dispatch_event("click")
    page.keyboard.press("End")
    assert page.locator(".view:not([hidden]) .plate.done").count() == 1


# --- Looking -------------------------------------------------------------------------------------


def test_search_finds_names_operations_and_boxes(tmp_path, visit):
    page = visit(saved(tmp_path, draw(model_and_loss()[1], gradients=True)))
    page.click("#depths button:text-is('0')")
    page.keyboard.press("/")
    page.keyboard.type("dropout")
    assert text(page, "#found") == "1"
    assert page.locator(".view:not([hidden]) .halo").count() == 1
    page.keyboard.press("Enter")
    assert text(page, "#found") == "1 of 1"
    assert details(page).startswith("Dropout")
    halo = page.locator(".view:not([hidden]) .halo.here").bounding_box()
    (lit,) = page.locator(".view:not([hidden]) .pinned").all()
    assert lit.get_attribute("aria-label").startswith("box Dropout")
    assert halo["width"] > lit.bounding_box()["width"]
    page.fill("#query", "SUM_OF_SQUARES")
    page.keyboard.press("Enter")
    assert details(page).startswith("sum_of_squares #")
    page.fill("#query", "weight")
    found = []
    for _ in range(12):
        page.click("#larger")
    page.locator("#query").focus()
    for key in ["Enter", "Enter", "Shift+Enter"]:
        page.keyboard.press(key)
        found.append(details(page))
    assert found[0] == found[2] != found[1]
    node = page.locator(".view:not([hidden]) .halo.here").bounding_box()
    stage = page.locator("#stage").bounding_box()
    assert stage["x"] < node["x"] < node["x"] + node["width"] < stage["x"] + stage["width"]
    assert stage["y"] < node["y"] < node["y"] + node["height"] < stage["y"] + stage["height"]
    page.fill("#query", "there is no such thing")
    assert text(page, "#found") == "none"
    page.fill("#query", "")
    assert not page.locator(".view:not([hidden]) .halo").count()


def test_hovering_shows_and_clicking_keeps_the_numbers_of_a_node(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)))
    seen(page, "n1").hover()
    assert details(page).startswith("w\n")
    page.mouse.move(5, 400)
    assert details(page) == ""
    seen(page, "n2").click()
    seen(page, "n1").hover()
    page.mouse.move(5, 400)
    assert details(page).startswith("x\n")
    page.keyboard.press("Escape")
    assert details(page) == ""
    seen(page, "n6").click()
    page.locator("#details").get_by_role("button", name="add #5").first.click()
    assert details(page).startswith("add #5\n")
    page.locator("#details").get_by_role("button", name="step 3 of 6").click()
    assert text(page, "#caption").startswith("Step 3 of 6: add #5")
    seen(page, "n1").click()
    assert details(page).startswith("w\n")
    page.keyboard.press("ArrowRight")  # from here on, the panel follows the backward pass again
    assert details(page).startswith("multiply #3\n")


def test_the_picture_pans_and_zooms_around_the_mouse(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)))

    def place() -> Any:
        """The middle of a node, and its width."""
        box = seen(page, "n7").locator("path").first.bounding_box()
        return np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"]])

    before = place()
    page.mouse.move(*before[:2])
    page.mouse.wheel(0, -240)
    page.wait_for_timeout(50)
    zoomed = place()
    assert zoomed[2] > 1.3 * before[2]
    assert zoomed[:2] == pytest.approx(before[:2], abs=1.5)
    page.mouse.move(30, 300)
    page.mouse.down()
    page.mouse.move(130, 250, steps=3)
    page.mouse.up()
    assert place()[:2] - zoomed[:2] == pytest.approx([100, -50], abs=1.5)
    page.keyboard.press("0")
    assert place() == pytest.approx(before, abs=0.5)
    page.keyboard.press("+")
    assert place()[2] == pytest.approx(1.3 * before[2], rel=0.01)
    page.keyboard.press("-")
    assert place() == pytest.approx(before, abs=0.5)
    page.click("#larger")
    page.click("#fit")
    assert place() == pytest.approx(before, abs=0.5)


def test_two_fingers_zoom(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)), has_touch=True)
    before = seen(page, "n7").bounding_box()
    page.evaluate("""() => {
      const send = (type, id, x) => document.getElementById("stage").dispatchEvent(
        new PointerEvent(type, { pointerId: id, clientX: x, clientY: 300, bubbles: true,
          pointerType: "touch" }));
      send("pointerdown", 1, 400), send("pointerdown", 2, 500);
      send("pointermove", 1, 350), send("pointermove", 2, 550);
      send("pointerup", 1, 350), send("pointerup", 2, 550);
    }""")
    assert seen(page, "n7").bounding_box()["width"] == pytest.approx(2 * before["width"], rel=0.01)


def test_everything_works_by_keyboard_alone(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)))

    def focused(what: str) -> Any:
        return page.evaluate(f"() => document.activeElement.{what}")

    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        if focused("closest('.view') !== null"):
            break
        reached.append(focused("getAttribute('aria-label') ?? document.activeElement.textContent"))
    assert reached == ["Search by name, operation or box", "0", "all", "Zoom out", "Fit", "Zoom in",
                       "Dark"]  # fmt: skip
    label = focused("getAttribute('aria-label')")
    assert label == "w, parameter, shape (), value 0.75, gradient 4.0"
    assert focused("matches(':focus-visible')")
    assert details(page).startswith("w\n")
    walked = []
    for _ in range(8):
        page.keyboard.press("ArrowDown")
        walked.append(focused("dataset.key"))
    assert walked == ["n2", "n3", "n4", "n5", "b1", "n6", "n7", "n7"]
    for key in "ArrowUp", "ArrowUp", "Enter":
        page.keyboard.press(key)
    assert focused("dataset.key") == "b1"
    assert focused("getAttribute('aria-expanded')") == "false"
    assert not seen(page, "n6").count()
    page.keyboard.press("Enter")
    assert focused("dataset.key") == "b1"
    assert focused("getAttribute('aria-expanded')") == "true"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # to the player
    assert focused("getAttribute('aria-label')") == "To the start"
    assert details(page).startswith("b\n")


def test_everything_that_can_be_operated_has_a_name(tmp_path, visit):
    model, loss = model_and_loss()
    film = Film(model=model)
    film.record(loss)
    film.record(loss)
    page = visit(saved(tmp_path, film))
    page.keyboard.press("ArrowRight")
    assert (
        page.evaluate("""() => [...document.querySelectorAll(
        "button, input, select, section, aside, [role]:not(.gone), [tabindex]:not(.gone)")].filter(
        (e) => e.checkVisibility() && !e.matches("output") && !(e.getAttribute("aria-label")
          ?? e.getAttribute("aria-labelledby") ?? e.textContent.trim())).map((e) => e.outerHTML)
    """)
        == []
    )
    assert page.locator("main, header, aside").count() == 3
    assert (
        page.evaluate("""() => [...document.querySelectorAll(
        ".view:not([hidden]) [tabindex='0']")].length""")
        == 1
    )


# --- Looks ---------------------------------------------------------------------------------------


def luminance(color: str) -> float:
    r, g, b = (int(x) / 255 for x in re.findall(r"\d+", color)[:3])
    linear = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in (r, g, b)]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(scheme, tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)), color_scheme=scheme)

    def color(selector: str, what: str) -> str:
        return page.locator(selector).first.evaluate(f"(e) => getComputedStyle(e).{what}")

    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    ground, surface = color("body", "backgroundColor"), color("#panel", "backgroundColor")
    assert (luminance(ground) > 0.5) == (scheme == "light")
    shown = ".view:not([hidden])"
    plate = {stage: color(f"{shown} .{stage} > path", "fill") for stage in ("done", "wait")}
    ink = {stage: color(f"{shown} .{stage} > text", "fill") for stage in ("done", "wait")}
    assert contrast(plate["done"], ink["done"]) > 4.5
    assert contrast(plate["wait"], ink["wait"]) > 4.5
    assert plate["done"] != plate["wait"]
    assert contrast(color(f"{shown} .cluster text", "fill"), ground) > 4.5
    assert contrast(color("#details h3", "color"), surface) > 4.5
    assert contrast(color("#details .link", "color"), surface) > 4.5
    assert contrast(color(f"{shown} .edge:not(.used) path", "stroke"), ground) > 3
    page.click("#theme")
    assert (luminance(color("body", "backgroundColor")) > 0.5) == (scheme == "dark")


def test_paper_shows_the_whole_picture_and_the_legend_and_no_controls(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)), color_scheme="dark")
    page.keyboard.press("ArrowRight")
    for _ in range(5):
        page.keyboard.press("+")
    page.emulate_media(media="print")
    assert not page.locator("button:visible, input:visible, select:visible").count()
    assert page.locator("#legend").is_visible()
    assert page.locator("#caption").is_visible()
    assert not page.locator("#details").is_visible()
    picture = page.locator(".view:not([hidden]) > svg").bounding_box()
    for number in range(1, 8):
        node = seen(page, f"n{number}").bounding_box()
        assert picture["x"] <= node["x"]
        assert picture["y"] <= node["y"]
        assert node["x"] + node["width"] <= picture["x"] + picture["width"]
        assert node["y"] + node["height"] <= picture["y"] + picture["height"]
    ground = page.locator("body").evaluate("(e) => getComputedStyle(e).backgroundColor")
    assert luminance(ground) == 1
    assert len(page.pdf()) > 1000


@pytest.mark.parametrize("size", [(1280, 800), (700, 500), (360, 640)])
def test_nothing_sticks_out_of_a_window(size, tmp_path, visit):
    page = visit(
        saved(tmp_path, draw(neuron(), gradients=True)),
        viewport=dict(zip(("width", "height"), size)),
    )
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert (
        page.evaluate("""() => [...document.querySelectorAll(
        "header *, #players *, #stage, #panel")].filter((e) => {
          const { left, right, top, bottom } = e.getBoundingClientRect();
          return e.checkVisibility() && !e.matches("option") && (left < 0 || right > innerWidth
            || top < 0 || bottom > innerHeight);
        }).map((e) => e.outerHTML)""")
        == []
    )
    assert page.locator("#stage").bounding_box()["height"] > 100


def test_nothing_moves_by_itself_where_that_is_not_wanted(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)))
    page.keyboard.press("ArrowRight")
    flow = page.locator(".view:not([hidden]) .flow.sent").first
    assert flow.evaluate("(e) => getComputedStyle(e).animationName") == "none"
    page.emulate_media(reduced_motion="no-preference")
    assert flow.evaluate("(e) => getComputedStyle(e).animationName") == "flow"


# --- Films ---------------------------------------------------------------------------------------


def test_a_film_has_two_sliders_that_do_not_move_each_other(tmp_path, visit):
    w = Tensor(3.0, requires_grad=True, name="w")
    film, optimizer, gradients = Film(), optim.SGD([w], lr=0.4), []
    for _ in range(5):
        with scope("square"):
            loss = w * w * 1.0
        film.record(loss)
        optimizer.zero_grad()
        loss.backward()
        gradients.append(w.grad.item())
        optimizer.step()
    page = visit(saved(tmp_path, film))
    backward, training = page.locator("#backward input"), page.locator("#training input")
    assert training.get_attribute("max") == "4"
    assert not page.locator("svg text", has_text=re.compile("value|grad")).count()
    page.click("#depths button:text-is('all')")
    page.keyboard.press("End")
    fills = []
    for frame, gradient in enumerate(gradients):
        assert (backward.input_value(), training.input_value()) == ("3", str(frame))
        assert text(page, "#training output").startswith(f"step {frame + 1}, result ")
        assert details(page).startswith("w\n")
        assert text(page, ".sum li:last-child b") == str(gradient)
        assert f"= {gradient} arrives" in text(page, "#caption")
        pills = page.locator(".view:not([hidden]) .pill.size").all_text_contents()
        assert float(pills[0]) == pytest.approx(gradient, rel=1e-3)
        fills.append(seen(page, "n1").locator("path").first.get_attribute("fill"))
        page.keyboard.press("Shift+ArrowRight")
    assert len(set(fills)) > 1
    page.keyboard.press("Home")
    assert (backward.input_value(), training.input_value()) == ("0", "4")
    page.select_option("#training select", "130")
    player = page.get_by_role("group", name="Training")
    player.get_by_role("button", name="Play").click()
    assert training.input_value() == "1"
    player.get_by_role("button", name="Play").wait_for()
    assert (backward.input_value(), training.input_value()) == ("0", "4")


def test_flags_come_and_go_with_the_frames(tmp_path, visit):
    w = Tensor(0.0, requires_grad=True, name="w")
    film = Film()
    film.record(w * w)
    w.data = 1.0
    film.record(w * w)
    page = visit(saved(tmp_path, film))
    seen(page, "n1").click()
    assert "zero gradient" in details(page)
    assert page.locator(".view:not([hidden]) .mark").count() > 0
    page.keyboard.press("Shift+ArrowRight")
    assert "zero gradient" not in details(page)
    assert page.locator(".view:not([hidden]) .mark").count() == 0


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_names_are_text_whatever_they_are(name, tmp_path, visit):
    x = Tensor([1.0, 2.0], requires_grad=True, name=name)
    with scope(name):
        y = (x * x).sum()
    y.name = name
    page = visit(saved(tmp_path, draw(y, gradients=True)))
    page.click("#depths button:text-is('all')")
    page.keyboard.press("End")
    shown = " ".join(name.encode("utf-8", "replace").decode().split())
    words = " ".join(details(page).split())
    assert words.startswith(shown.replace("\x00", "\ufffd")[:60].rstrip()) or "\x00" in name
    assert page.locator("script").count() == 2
    assert page.locator("img, b:not(.sum b)").count() == 0
    key = page.locator(".view:not([hidden]) .cluster").get_attribute("data-key")
    click(page, f".view:not([hidden]) .toggle[data-key={key}]")
    page.fill("#query", name.split()[0])
    page.keyboard.press("Enter")
    assert text(page, "#found").startswith("1 of")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_numbers_that_are_none_are_said(tmp_path, visit):
    x = Tensor(np.array([0.0, np.nan, np.inf]), requires_grad=True, name="x")
    big = Tensor(np.full(20, -np.inf), requires_grad=True, name="big")
    page = visit(saved(tmp_path, draw(x.sum() + big.sum(), gradients=True)))
    seen(page, "n1").click()
    assert panel_numbers(page, "#details > :last-child") == ["0.0", "nan", "inf"]
    page.fill("#query", "big")
    page.keyboard.press("Enter")
    assert panel_numbers(page, "#details > :last-child")[:1] == ["-inf"]


# --- What was asked for --------------------------------------------------------------------------


def closed_boxes(page: Any) -> list[str]:
    return page.locator(".view:not([hidden]) .node[data-key^=b]:not(.gone)").evaluate_all(
        "(all) => all.map((one) => one.querySelector('text').textContent)"
    )


def test_a_page_opens_as_the_drawing_was_asked_to(tmp_path, visit):
    _, loss = model_and_loss()
    for options, wanted in [
        ({"depth": 0}, ["Sequential (training)", "cross_entropy", "l2_penalty"]),
        ({"depth": None}, []),
        ({"collapse": lambda box: box.name == "BatchNorm1d", "depth": None}, ["BatchNorm1d"]),
        ({"collapse": lambda box: box.name == "Sequential" or None, "depth": 1},
         ["Sequential (training)", "log_softmax"]),
    ]:  # fmt: skip
        page = visit(saved(tmp_path, draw(loss, gradients=True, **options)))
        assert sorted(closed_boxes(page)) == sorted(wanted)


def test_a_covered_box_says_what_it_says_where_it_is_closed(tmp_path, visit):
    _, loss = model_and_loss()
    page = visit(saved(tmp_path, draw(loss, None, gradients=True)))
    toggle = page.locator(".view:not([hidden]) .cluster", has_text="BatchNorm1d").last
    toggle.dispatch_event("dblclick")
    said = page.locator(".plate").text_content()
    for words in ("BatchNorm1d", "9 operations", "2 parameters, 10 numbers", "value", "grad"):
        assert words in said


def test_a_folded_drawing_has_a_folded_page_and_says_that_it_is_not_played(tmp_path, visit):
    x = Tensor(1.0, requires_grad=True, name="x")
    y = x
    for _ in range(12):
        with scope("step"):
            y = y * 2
    page = visit(saved(tmp_path, draw(y, gradients=True, fold=True, depth=0)))
    assert closed_boxes(page) == ["step × 12"]
    assert "without fold=True, the backward pass can be played" in text(page, "#caption")
    assert not page.get_by_role("group", name="Backward").is_visible()


def test_python_numbers_of_a_film_are_those_of_the_frame(tmp_path, visit):
    film = Film()
    for n in (5, 4):
        film.record((Tensor(np.ones(n), requires_grad=True, name="w") * 2).mean())
    film.save(tmp_path / "film.html")
    page = visit(tmp_path / "film.html")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert "÷ 5" in details(page)
    assert "ḡ / 5" in details(page)
    page.keyboard.press("Shift+ArrowRight")
    assert "÷ 4" in details(page)
    assert "ḡ / 4" in details(page)


def test_escape_leaves_the_search(tmp_path, visit):
    page = visit(saved(tmp_path, draw(neuron(), gradients=True)))
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    assert page.get_by_text("Step 1 of").count()


def test_a_page_that_cannot_open_as_asked_opens_as_usual(tmp_path, visit, monkeypatch):
    _, loss = model_and_loss()
    monkeypatch.setattr("tinygrad_reg.drawing.page.BROWSABLE", 15)
    page = visit(saved(tmp_path, draw(loss, None, gradients=True)))
    assert closed_boxes(page)
    assert (
        page.locator(".view").evaluate_all(
            "(views) => Math.max(...views.map((v) => v.querySelectorAll('.node').length))"
        )
        <= 15
    )
