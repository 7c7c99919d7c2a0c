"use strict";
(() => {
// Everything that can be pointed at has a key, as in the ids of the pictures: "n7" is node 7, and
// "b2" box 2.  What is shown follows from `state` alone: handlers change it, and then paint.

// --- The graph -----------------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const nodes = new Map(data.nodes.map((node) => [`n${node.id}`, node]));
const boxes = new Map(data.boxes.map((box) => [`b${box.id}`, box]));
const turns = new Map(data.sweep.map((id, i) => [`n${id}`, i + 1]));  // step at which it is reached
// Every use of a node as an input of another; in `inputs`, numbers are nodes, and text is numbers.
const uses = data.nodes.flatMap((user) => user.inputs.map((x, position) => (
  { user, position, node: typeof x === "number" ? nodes.get(`n${x}`) : null }
))).filter((use) => use.node);
const usesOf = Map.groupBy(uses, (use) => use.node);
const usesBy = Map.groupBy(uses, (use) => use.user);

const state = {
  closed: new Set(),  // boxes, by key
  step: 0,            // of the backward pass; 0 is the whole picture
  frame: 0,           // of the training run
  pinned: null,       // what was clicked
  pointed: null,      // what the mouse or the focus rests on
  hits: [], hit: -1,  // what the search found, and which of it we went to
};

const openable = new Set();  // boxes that are open in one of the pictures
const item = (key) => nodes.get(key) ?? boxes.get(key);
const frame = () => data.frames[state.frame];
const now = (node) => frame().nodes[node.id];  // what of it changes from frame to frame
const callOf = (node) => now(node).call ?? node.call;  // where Python numbers change, so does it
const ruleOf = ({ user, position }) => (now(user).rules ?? user.rules)[position];
const current = () => state.step ? `n${data.sweep[state.step - 1]}` : null;

/** The boxes around it, from the innermost outwards. */
function enclosing(key) {
  const found = [];
  for (let id = item(key).box; id !== null; id = boxes.get(`b${id}`).box) found.push(`b${id}`);
  return found;
}

/** What is seen of it where these boxes are closed: itself, or the outermost closed box around. */
function standIn(key, closed = (box) => state.closed.has(box)) {
  return enclosing(key).findLast(closed) ?? key;
}

// All keys from the top to the bottom: a box comes before what is in it.
const order = [...new Set([...nodes.keys()].flatMap((key) => [...enclosing(key).reverse(), key]))];
const contents = new Map(  // the nodes in each box
  [...boxes.keys()].map((box) => [box, []]),
);
for (const key of nodes.keys()) {
  for (const box of enclosing(key)) contents.get(box).push(key);
}

/** What goes back along a use of a node: nothing where no gradient flows. */
function part({ user, position }) {
  return frame().parts[user.id]?.find(([i]) => i === position)?.[1];
}

/** The uses along which parts of the gradient come to a node, in the order of their arrival. */
function arrivals(node) {
  const turn = ({ user }) => turns.get(`n${user.id}`);
  return (usesOf.get(node) ?? []).filter(part).sort((a, b) => turn(a) - turn(b));
}

/** The uses along which a node sends parts to its inputs. */
const departures = (node) => (usesBy.get(node) ?? []).filter(part);

// --- Numbers and names as text -------------------------------------------------------------------

function short(x, digits = 3) {
  if (typeof x === "string") return x;
  const rounded = Number(x.toPrecision(digits));
  const size = Math.abs(rounded);
  const far = size !== 0 && (size < 1e-4 || size >= 10 ** digits);
  return (far ? rounded.toExponential() : String(rounded)).replace("e+", "e");
}
const STATISTICS = ["mean", "sd", "norm", "min", "max", "zeros"];
const isScalar = (numbers) => numbers.rows?.length === 1 && numbers.rows[0].length === 1;

/** An element of an array to a few digits, unless it is no number. */
const element = (text) => /\d[.e]/.test(text) ? short(Number(text), 4) : text;

/** Numbers in one line: a scalar exactly, a short vector in full, an array as mean ± sd. */
function brief(numbers) {
  if (!numbers) return "–";
  if (isScalar(numbers)) return numbers.rows[0][0];
  if (numbers.rows) {
    const text = numbers.rows.map((row) => `[${row.map(element).join(", ")}]`).join(", ");
    return fitted(text || "empty", 60);
  }
  return `${short(numbers.stats[0])} ± ${short(numbers.stats[1])}`;
}

/** Numbers as part of a sum: of an array its mean, for means do add up. */
function summand(numbers) {
  if (isScalar(numbers)) return numbers.rows[0][0];
  if (numbers.rows) return `[${brief(numbers)}]`;
  return `(mean ${short(numbers.stats[0])})`;
}

/** The size of numbers, as small as it can be said. */
function size(numbers) {
  if (isScalar(numbers)) return element(numbers.rows[0][0]);
  const norm = numbers.rows ? Math.hypot(...numbers.rows.flat().map(Number)) : numbers.stats[2];
  return `‖${short(norm)}‖`;
}

/** Text of so many characters at most. */
function fitted(text, most) {
  const letters = [...text.slice(0, 4 * most)];
  return letters.length <= most ? text : `${letters.slice(0, Math.max(1, most - 1)).join("")}…`;
}

/** A name in a line of text. */
const called = (key) => fitted(item(key).label, 60) || "box";

/** What happens at this step. */
function sentence() {
  const last = data.sweep.length;
  if (!last) return data.hint;
  if (!state.step) return `The whole picture. Play sends the gradient back, in ${last} steps.`;
  const node = nodes.get(current());
  const parts = arrivals(node).map((use) => summand(part(use)));
  const sum = parts.length > 1 ? `${parts.join(" + ")} = ` : "";
  const sent = departures(node).map((use) => (
    `to ${called(`n${use.node.id}`)}: ${ruleOf(use)} = ${brief(part(use))}`
  ));
  return `Step ${state.step} of ${last}: ${called(current())}, gradient ${sum}`
    + [`${sum ? summand(now(node).gradient) : brief(now(node).gradient)} arrives`, ...sent].join("; ") + ".";
}

// --- Elements ------------------------------------------------------------------------------------
// Text from the data only ever becomes text nodes and attribute values, never markup.

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
const html = (tag, attributes = {}, ...children) => (
  fill(document.createElement(tag), attributes, children)
);
const svg = (tag, attributes = {}, ...children) => (
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children)
);

// --- The pictures --------------------------------------------------------------------------------
// One for each depth of boxes, and then some in which single boxes are open.  Which is shown follows from the closed boxes: the one with the
// fewest open boxes that still has every open box open.  What is open there and shall be closed is
// covered in place by a plate.

class Picture {
  constructor(holder, number) {
    this.holder = holder;
    this.svg = holder.querySelector("svg");
    this.graph = this.svg.querySelector(".graph");
    const { x, y, width, height } = this.svg.viewBox.baseVal;
    this.home = { x, y, width, height };
    this.shift = this.graph.transform.baseVal.consolidate()?.matrix ?? this.svg.createSVGMatrix();
    this.elements = new Map();
    for (const element of this.graph.querySelectorAll(".node, .cluster")) {
      const key = element.id.replace(/^v\d+-/, "");
      element.dataset.key = key;
      this.elements.set(key, element);
    }
    const open = [...boxes.keys()].filter((box) => this.isOpen(box));
    this.open = open.length;
    this.depth = Math.max(0, ...open.map((box) => enclosing(box).length + 1));
    for (const box of open) openable.add(box);
    this.edges = [];
    this.routes = new Map();  // from a use of a node to the edge that stands for it
    const between = new Map();  // of all uses with the same ends, the first may stand for all
    for (const use of uses) {
      const ends = [use.node, use.user].map(({ id }) => (
        standIn(`n${id}`, (box) => !this.isOpen(box))
      ));
      const element = $(`v${number}-e${use.user.id}-${use.position}`);
      if (element) {
        const edge = { element, path: element.querySelector("path"), ends };
        this.edges.push(edge);
        between.set(ends.join(), edge);
      }
      this.routes.set(use, between.get(ends.join()));
    }
    const layers = ["flows", "plates", "labels", "toggles"];  // gradients run under plates
    for (const name of layers) this[name] = this.graph.appendChild(svg("g", { class: name }));
  }

  isOpen(box) { return this.elements.get(box)?.classList.contains("cluster") ?? false; }

  /** Hide what is in closed boxes, and cover those that are open in this picture. */
  arrange() {
    this.holder.hidden = false;
    this.outlines ??= new Map([...this.elements].map(([key, element]) => (
      [key, element.querySelector("path, polygon, ellipse").getBBox()]
    )));  // of what is hidden there is none
    for (const layer of [this.plates, this.toggles]) layer.replaceChildren();
    this.shown = new Map();
    for (const [key, element] of this.elements) {
      const hidden = standIn(key) !== key;
      const covered = !hidden && state.closed.has(key) && this.isOpen(key);
      element.classList.toggle("gone", hidden || covered);
      if (!hidden) this.shown.set(key, covered ? this.plate(key, element) : element);
    }
    for (const [key, element] of this.shown) {
      element.setAttribute("role", "button");
      if (!openable.has(key)) continue;
      this.toggles.append(toggle(key, this.outlines.get(key)));
      element.setAttribute("aria-expanded", String(!state.closed.has(key)));
    }
    for (const edge of this.edges) {
      edge.shown = edge.ends.map((end) => standIn(end));
      const inside = edge.shown[0] === edge.shown[1];
      edge.element.classList.toggle("gone", inside);
      if (inside) continue;
      const { end } = this.stretch(edge);
      if (end < edge.path.getTotalLength()) {  // its own arrow is under a plate
        this.plates.append(arrow(edge.path, end, -1, "arrow"));
      }
    }
  }

  /** The closed box in the place of the open one, with what the picture says that has it closed. */
  plate(key, cluster) {
    const { x, y, width, height } = this.outlines.get(key);
    const shape = cluster.querySelector("path, polygon").cloneNode();
    const closed = pictures.map(({ elements }) => elements.get(key))
      .find((element) => element?.classList.contains("node"));
    const outline = closed?.querySelector("polygon");
    shape.setAttribute("fill", "#e6ebf1");
    for (const name of ["stroke", "stroke-width"]) {  // an alarm has a frame of its own
      if (outline?.hasAttribute(name)) shape.setAttribute(name, outline.getAttribute(name));
    }
    const corners = outline?.getAttribute("points").trim().split(/\s+/)
      .map((point) => point.split(",").map(Number));
    let text;
    if (corners) {
      const [left, right] = [Math.min, Math.max].map((f) => f(...corners.map(([x]) => x)));
      const [top, bottom] = [Math.min, Math.max].map((f) => f(...corners.map(([, y]) => y)));
      const scale = Math.min(1, width / (right - left), height / (bottom - top));
      const lines = [...closed.querySelectorAll("text")].map((line) => line.cloneNode(true));
      text = svg("g", { transform: `translate(${x + width / 2} ${y + height / 2}) scale(${scale}) `
        + `translate(${-(left + right) / 2} ${-(top + bottom) / 2})` }, ...lines);
    } else {
      text = svg("text", { x: x + width / 2, y: y + height / 2, class: "name" },
        fitted(boxes.get(key).label, width / 8));
    }
    const plate = svg("g", { class: "node plate", "data-key": key }, shape, text);
    this.plates.append(plate);
    return plate;
  }

  /** Between which lengths of its path an edge is to be seen, outside of the plates at its ends. */
  stretch(edge) {
    const length = edge.path.getTotalLength();
    const hidden = edge.shown.map((key, i) => key === edge.ends[i] ? null : this.outlines.get(key));
    const inside = (box, at) => {
      const { x, y } = edge.path.getPointAtLength(at);
      return box && x > box.x && x < box.x + box.width && y > box.y && y < box.y + box.height;
    };
    let [start, end] = [0, length];
    while (start < end && inside(hidden[0], start)) start += 1;
    while (end > start && inside(hidden[1], end)) end -= 1;
    return { start, end };
  }

  /** Mark the edges along which the gradient flows at this step, against the arrows. */
  flow(node) {
    for (const layer of [this.flows, this.labels]) layer.replaceChildren();
    for (const edge of this.edges) edge.element.classList.remove("used");
    if (!node) return;
    const taken = [];
    for (const [kind, list] of [["came", arrivals(node)], ["sent", departures(node)]]) {
      for (const use of list) {
        const edge = this.routes.get(use);
        if (!edge || edge.shown[0] === edge.shown[1]) continue;
        edge.element.classList.add("used");
        const { start, end } = this.stretch(edge);
        this.flows.append(svg("path", { class: `flow ${kind}`, d: edge.path.getAttribute("d") }));
        this.labels.append(arrow(edge.path, start, 1, "tip"),
          this.beside(edge.path, start, end, pill(size(part(use)), kind), taken));
      }
    }
  }

  /** Put a pill beside an edge, where none of those `taken` is. */
  beside(path, start, end, { element, width }, taken) {
    const spots = [0.5, 0.3, 0.7, 0.15, 0.85].map((share) => {
      const { x, y } = path.getPointAtLength(start + share * (end - start));
      return { x: x + width / 2 + 5, y, width };
    });
    const free = (spot) => taken.every((other) => Math.abs(other.y - spot.y) > 16
      || Math.abs(other.x - spot.x) > (other.width + width) / 2);
    const spot = spots.find(free) ?? spots[0];
    taken.push(spot);
    element.setAttribute("transform", `translate(${spot.x} ${spot.y})`);
    return element;
  }

  /** Its outline in the coordinates of the view box. */
  where(key) {
    const { x, y, width, height } = this.outlines.get(key);
    const { a, d, e, f } = this.shift;
    return { x: a * x + e, y: d * y + f, width: a * width, height: d * height };
  }
}

/** A number on a small plate, around (0, 0). */
function pill(text, kind) {
  const width = 6.2 * text.length + 9;
  const plate = svg("rect", { x: -width / 2, y: -7.5, width, height: 15, rx: 7.5 });
  const number = svg("text", { y: 3.6, "font-size": 10, "text-anchor": "middle" }, text);
  return { width, element: svg("g", { class: `pill ${kind}` }, plate, number) };
}

/** A triangle on a path, pointing towards its start (1) or its end (-1). */
function arrow(path, at, towards, name) {
  const tip = path.getPointAtLength(at);
  const tail = path.getPointAtLength(at + 7 * towards);
  const [x, y] = [tail.x - tip.x, tail.y - tip.y];
  const half = [-y / 2, x / 2];
  const points = [[tip.x, tip.y], [tail.x + half[0], tail.y + half[1]],
    [tail.x - half[0], tail.y - half[1]]];
  return svg("polygon", { class: name, points: points.map((p) => p.join()).join(" ") });
}

/** The sign on the border of a box that opens or closes it. */
function toggle(key, { x, y, width }) {
  const cross = state.closed.has(key) ? "M-3.5 0h7M0-3.5v7" : "M-3.5 0h7";
  return svg("g", { class: "toggle", "data-key": key, "aria-hidden": "true",
    transform: `translate(${x + width - 10} ${y})` },
  svg("circle", { r: 7 }), svg("path", { d: cross }));
}

const pictures = [...document.querySelectorAll(".view")].map((view, i) => new Picture(view, i));
let picture = pictures.find(({ holder }) => !holder.hidden);
closeAsIn(picture);
if (data.closed) {
  const asked = new Set(data.closed.map((id) => `b${id}`));
  state.closed = new Set([...boxes.keys()].filter((box) => asked.has(box) || !openable.has(box)));
}

function closeAsIn(picture) {
  state.closed = new Set([...boxes.keys()].filter((box) => !picture.isOpen(box)));
}

/** The picture with the fewest open boxes that has every open box open. */
function suitable() {
  const open = [...boxes.keys()].filter((box) => !state.closed.has(box) && standIn(box) === box);
  return pictures.filter((candidate) => open.every((box) => candidate.isOpen(box)))
    .reduce((best, other) => other.open < best.open ? other : best);
}

/** Show what the closed boxes ask for; `anchor`, if it is seen before and after, stays in place. */
function arrange(anchor = null) {
  const before = picture.shown?.has(anchor) ? picture.where(anchor) : null;
  const next = suitable();
  if (next !== picture) picture.holder.hidden = true;
  picture = next;
  picture.arrange();
  if (before && picture.shown.has(anchor)) {
    const after = picture.where(anchor);
    camera.x += after.x + after.width / 2 - before.x - before.width / 2;
    camera.y += after.y - before.y;
    look();
  } else {
    fit();
  }
  paint();
}

function toggleBox(key) {
  if (!openable.has(key)) return;
  const focused = document.activeElement?.dataset?.key;
  if (!state.closed.delete(key)) state.closed.add(key);
  arrange(key);
  if (focused) picture.shown.get(standIn(focused))?.focus({ preventScroll: true });
}

/** Open every box around it. */
function reveal(key) {
  const closed = enclosing(key).filter((box) => openable.has(box) && state.closed.delete(box));
  if (closed.length) arrange(closed.at(-1));
}

// --- Looking: pan and zoom -----------------------------------------------------------------------

const stage = $("stage");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const camera = { x: 0, y: 0, scale: 1 };  // the middle of what is seen; pixels per unit
let gliding = 0;

function look() {
  const width = stage.clientWidth / camera.scale, height = stage.clientHeight / camera.scale;
  picture.svg.setAttribute("viewBox",
    [camera.x - width / 2, camera.y - height / 2, width, height].join(" "));
}

function fit() {
  const { x, y, width, height } = picture.home;
  const scale = Math.min((stage.clientWidth - 32) / width, (stage.clientHeight - 32) / height);
  cancelAnimationFrame(gliding);
  Object.assign(camera, {
    x: x + width / 2, y: y + height / 2, scale: Math.max(0.02, Math.min(scale, 1.6)),
  });
  look();
}

/** Zoom such that the point (x, y) of the stage, in pixels from its middle, stays in place. */
function zoom(factor, x = 0, y = 0) {
  const scale = Math.max(0.02, Math.min(camera.scale * factor, 12));
  camera.x += x / camera.scale - x / scale;
  camera.y += y / camera.scale - y / scale;
  camera.scale = scale;
  look();
}

function glide(x, y, scale) {
  cancelAnimationFrame(gliding);
  const from = { ...camera }, start = performance.now();
  const move = (time) => {
    const t = calm.matches ? 1 : Math.min(1, Math.max(0, (time - start) / 260));
    const eased = t * (2 - t);
    camera.x = from.x + eased * (x - from.x);
    camera.y = from.y + eased * (y - from.y);
    camera.scale = from.scale * (scale / from.scale) ** eased;
    look();
    if (t < 1) gliding = requestAnimationFrame(move);
  };
  move(start);
}

/** Bring it into sight; `near` also brings it to a size that can be read, if it fits. */
const READABLE = 0.55;  // pixels per point: what is played can just be read

function show(key, near = false) {
  const { x, y, width, height } = picture.where(standIn(key));
  const fits = 0.9 * Math.min(stage.clientWidth / width, stage.clientHeight / height);
  const scale = near ? Math.min(Math.max(camera.scale, 1), fits)
    : Math.max(camera.scale, Math.min(READABLE, fits));
  const [dx, dy] = [x + width / 2 - camera.x, y + height / 2 - camera.y];
  const out = Math.abs(dx) + width / 2 > stage.clientWidth / 2 / scale
    || Math.abs(dy) + height / 2 > stage.clientHeight / 2 / scale;
  if (out || near || scale > camera.scale) glide(camera.x + dx, camera.y + dy, scale);
}

const fingers = new Map();
let travelled = 0;

stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const { left, top, width, height } = stage.getBoundingClientRect();
  const step = event.deltaY * (event.deltaMode ? 30 : 1) * (event.ctrlKey ? 6 : 1);
  zoom(Math.exp(-Math.max(-240, Math.min(240, step)) / 600),
    event.clientX - left - width / 2, event.clientY - top - height / 2);
}, { passive: false });

stage.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  if (!fingers.size) travelled = 0;
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
});

addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const after = [event.clientX, event.clientY];
  const [dx, dy] = [after[0] - before[0], after[1] - before[1]];
  travelled += Math.hypot(dx, dy);
  camera.x -= dx / camera.scale / fingers.size;
  camera.y -= dy / camera.scale / fingers.size;
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const apart = (a, b) => Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
    const { left, top, width, height } = stage.getBoundingClientRect();
    zoom(apart(after, other) / apart(before, other),
      (after[0] + other[0]) / 2 - left - width / 2, (after[1] + other[1]) / 2 - top - height / 2);
  }
  fingers.set(event.pointerId, after);
  look();
});
for (const end of ["pointerup", "pointercancel"]) {
  addEventListener(end, (event) => fingers.delete(event.pointerId));
}

// --- Painting ------------------------------------------------------------------------------------

/** Where the backward pass is with a node or a closed box. */
function progress(key) {
  if (!state.step) return "";
  const inside = contents.get(key) ?? [key];
  const reached = inside.map((k) => turns.get(k)).filter((turn) => turn !== undefined);
  if (!reached.length) return "outside";
  if (reached.includes(state.step)) return "current";
  if (reached.every((turn) => turn < state.step)) return "done";
  const begun = inside.some((k) => arrivals(nodes.get(k)).some(({ user }) => (
    turns.get(`n${user.id}`) <= state.step
  )));
  return begun ? "partly" : "wait";
}

function paint() {
  paintPicture();
  paintPanel();
  paintControls();
}

function paintPicture() {
  const active = new Set(state.step ? enclosing(current()) : []);
  picture.svg.classList.toggle("sweeping", state.step > 0);
  picture.flow(nodes.get(current()));
  for (const [key, element] of picture.shown) {
    const open = boxes.has(key) && !state.closed.has(key);
    const stage = open ? "" : progress(key);
    for (const name of ["outside", "wait", "partly", "done", "current"]) {
      element.classList.toggle(name, name === stage);
    }
    element.classList.toggle("around", open && active.has(key));
    element.classList.toggle("pinned", key === state.pinned);
    element.classList.toggle("pointed", key === state.pointed);
    element.setAttribute("aria-label", described(key));
    element.setAttribute("tabindex", key === rover() ? "0" : "-1");
    if (!open) paintNode(key, element, stage);
  }
  for (const [i, hit] of state.hits.entries()) {
    const key = standIn(hit);
    if (!picture.shown.has(key)) continue;
    const { x, y, width, height } = picture.outlines.get(key);
    picture.labels.append(svg("rect", { class: i === state.hit ? "halo here" : "halo", rx: 8,
      x: x - 5, y: y - 5, width: width + 10, height: height + 10 }));
  }
}

/** The node that a closed box looks like, as in dot.py: the last that it computes. */
function resultOf(box) {
  const inside = contents.get(box).map((key) => nodes.get(key));
  return inside.findLast((node) => node.kind === "operation" && !node.backward)
    ?? inside.findLast((node) => node.kind === "operation") ?? inside.at(-1);
}

/** The colours of this frame; in a film also flags and the size of the gradient, which are not
    in the pictures then. */
function paintNode(key, group, stage) {
  const { fill, ink, gradient } = now(nodes.get(key) ?? resultOf(key));
  for (const shape of group.querySelectorAll(":scope > :is(path, polygon, ellipse)")) {
    if (fill && shape.getAttribute("fill") !== "none") shape.setAttribute("fill", fill);
  }
  for (const text of group.querySelectorAll("text")) {
    if (ink) text.setAttribute("fill", ink);
  }
  if (data.frames.length < 2) return;
  const { x, y, width, height } = picture.outlines.get(key);
  if (gradient && stage !== "wait" && stage !== "partly") {
    const { element, width: wide } = pill(size(gradient), "size");
    element.setAttribute("transform", `translate(${x + width - wide / 2 + 6} ${y + height + 7})`);
    picture.labels.append(element);
  }
  if ((contents.get(key) ?? [key]).some((k) => now(nodes.get(k)).flags.length)) {
    picture.labels.append(svg("g", { class: "mark", transform: `translate(${x} ${y})` },
      svg("path", { d: "M0-8L8 6H-8z" }),
      svg("text", { y: 4.5, "font-size": 10, "text-anchor": "middle" }, "!")));
  }
}

/** What a screen reader says of it. */
function described(key) {
  const place = enclosing(key).map((box) => `in ${called(box)}`);
  if (boxes.has(key)) return [`box ${called(key)}`, ...place].join(", ");
  const node = nodes.get(key), { shape, value, gradient, flags } = now(node);
  const what = node.operation ? fitted(callOf(node), 120) : node.kind;
  const numbers = !data.figures ? [] : [`value ${brief(value)}`,
    `gradient ${gradient ? brief(gradient) : "none"}`];
  return [called(key), what, `shape ${shape}`, ...numbers, ...flags, ...place].join(", ");
}

// --- The panel -----------------------------------------------------------------------------------

function paintPanel() {
  const key = state.pointed ?? state.pinned ?? current();
  const content = key === null ? [] : nodes.has(key) ? nodeDetails(key) : boxDetails(key);
  const focused = $("details").contains(document.activeElement);
  $("details").replaceChildren(...content);
  if (focused) $("details").querySelector("h2")?.focus();  // what had it is no more
}

function nodeDetails(key) {
  const node = nodes.get(key), { shape, value, gradient, flags } = now(node);
  const turn = turns.get(key);
  const kind = node.operation ? "" : `${node.kind} · `;
  return [
    html("h2", { tabindex: "-1" }, node.label),
    node.call ? html("p", { class: "mono clip" }, callOf(node)) : null,
    html("p", { class: "quiet" }, `${kind}${shape} ${node.dtype}`),
    place(key),
    !turn ? null : html("p", { class: "quiet" }, html("button", { type: "button", class: "link",
      onclick: () => backward.go(turn) }, `step ${turn} of ${data.sweep.length}`)),
    ...flags.map((flag) => html("p", { class: "flag" }, flag)),
    ...(data.figures ? [
      html("section", turn && turn === state.step ? { class: "now" } : {},
        html("h3", {}, "Gradient ḡ"), ...gradientDetails(node, gradient),
        ...(turn ? passedOn(node) : [])),
      html("h3", {}, "Value"), figures(value),
    ] : []),
  ].filter(Boolean);
}

/** Where the gradient comes from: as a sum if more than one part arrives. */
function gradientDetails(node, gradient) {
  if (!gradient) {
    return [html("p", { class: "quiet" }, node.flows ? "–" : "No gradient flows here.")];
  }
  const rows = arrivals(node).map((use) => {
    const several = use.user.inputs.filter((x) => x === node.id).length > 1;
    const which = several ? `, input ${use.position + 1}` : "";
    return [summand(part(use)), ["from ", link(`n${use.user.id}`), which]];
  });
  if (node.result && turns.size) rows.unshift(["1", ["it starts here"]]);
  if (rows.length < 2) {
    return [figures(gradient), ...rows.map(([, from]) => html("p", { class: "quiet" }, ...from))];
  }
  rows.push([summand(gradient), []]);
  const signs = ["", ...Array(rows.length - 2).fill("+ "), "= "];
  return [html("ul", { class: "sum" }, ...rows.map(([number, from], i) => html("li", {},
    html("span", {}, signs[i]), html("b", {}, number), html("span", { class: "quiet" }, ...from),
  ))), isScalar(gradient) ? null : figures(gradient)].filter(Boolean);
}

/** The local rule for each input, and the part of the gradient that it gives. */
function passedOn(node) {
  const found = (usesBy.get(node) ?? []).map((use) => {
    const rule = ruleOf(use);
    return html("div", { class: "part" },
      html("div", {}, "to ", link(`n${use.node.id}`), rule ? "" : ": no gradient flows there"),
      rule ? html("div", { class: "mono clip" }, rule) : null,
      rule ? figures(part(use)) : null);
  });
  return found.length ? [html("h3", {}, "Passed on"), ...found] : [];
}

function boxDetails(key) {
  const inside = contents.get(key).map((k) => nodes.get(k));
  const flagged = inside.filter((node) => now(node).flags.length);
  const operations = inside.filter((node) => node.operation).length;
  return [
    html("h2", { tabindex: "-1" }, boxes.get(key).label || "Box"),
    place(key),
    html("p", { class: "quiet" },
      `Box with ${inside.length} nodes, ${operations} of them operations`),
    ...flagged.map((node) => (
      html("p", { class: "flag" }, link(`n${node.id}`), `: ${now(node).flags.join(", ")}`)
    )),
    openable.has(key) ? html("p", {}, html("button", { type: "button",
      onclick: () => toggleBox(key) }, state.closed.has(key) ? "Open" : "Close")) : null,
  ].filter(Boolean);
}

function place(key) {
  const path = enclosing(key).reverse().flatMap((box, i) => [i ? " › " : "in ", link(box)]);
  return path.length ? html("p", { class: "quiet" }, ...path) : null;
}

/** A name that leads to the node or box. */
function link(key) {
  return html("button", { type: "button", class: "link",
    onclick: () => { reveal(key); pin(key); show(key); } }, called(key));
}

/** Numbers in full. */
function figures(numbers) {
  if (!numbers) return html("p", {}, "–");
  if (isScalar(numbers)) return html("p", { class: "number" }, numbers.rows[0][0]);
  if (numbers.rows?.length === 0) return html("p", {}, "empty");
  if (numbers.rows) {
    const rows = numbers.rows.map((row) => html("tr", {}, ...row.map((x) => html("td", {}, x))));
    return html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Elements" },
      html("table", {}, html("tbody", {}, ...rows)));
  }
  return html("dl", { class: "figures" }, ...STATISTICS.map((name, i) => {
    const x = numbers.stats[i];
    const text = name === "zeros" ? `${short(100 * x)} %` : short(x, 5);
    return html("div", {}, html("dt", {}, name), html("dd", {}, text));
  }));
}

// --- Players -------------------------------------------------------------------------------------

class Player {
  constructor(id, name, last) {
    const root = $(id);
    const [first, back, play, forth, final] = root.querySelectorAll("button");
    Object.assign(this, { name, last, play, timer: 0, pace: root.querySelector("select") });
    this.slider = root.querySelector("input");
    this.output = root.querySelector("output");
    this.slider.max = last;
    root.hidden = last < 1;
    first.addEventListener("click", () => this.go(0));
    back.addEventListener("click", () => this.by(-1));
    forth.addEventListener("click", () => this.by(1));
    final.addEventListener("click", () => this.go(last));
    play.addEventListener("click", () => this.toggle());
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
  }

  /** Go somewhere by hand: that ends playing. */
  go(to) {
    this.pause();
    this.set(to);
  }

  by(steps) { this.go(state[this.name] + steps); }

  set(to) {
    state[this.name] = Math.max(0, Math.min(to, this.last));
    if (this.name === "step") {
      state.pinned = state.pointed = null;  // the panel follows the pass
      if (state.step) show(current());
    }
    paint();
  }

  toggle() {
    if (this.timer) { this.pause(); return; }
    if (state[this.name] === this.last) this.set(0);
    this.play.classList.add("playing");
    this.play.setAttribute("aria-label", "Pause");
    this.tick();
  }

  tick() {
    this.set(state[this.name] + 1);
    if (state[this.name] === this.last) this.pause();
    else this.timer = setTimeout(() => this.tick(), Number(this.pace.value));
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.play.classList.remove("playing");
    this.play.setAttribute("aria-label", "Play");
  }
}

const backward = new Player("backward", "step", data.sweep.length);
const training = new Player("training", "frame", data.frames.length - 1);
document.body.classList.toggle("pass", backward.last > 0);
document.body.classList.toggle("film", training.last > 0);
$("players").hidden = !sentence() && !training.last;

function paintControls() {
  const said = sentence();
  if ($("caption").textContent !== said) $("caption").textContent = said;
  backward.slider.value = state.step;
  backward.slider.setAttribute("aria-valuetext", state.step
    ? `step ${state.step} of ${backward.last}` : "the whole picture");
  backward.output.textContent = `${state.step} / ${backward.last}`;
  training.slider.value = state.frame;
  training.slider.setAttribute("aria-valuetext", frame().label);
  training.output.textContent = frame().label;
  for (const [i, button] of depths.entries()) {
    const same = (box) => pictures[i].isOpen(box) !== state.closed.has(box);
    button.setAttribute("aria-pressed", String([...boxes.keys()].every(same)));
  }
  for (const button of $("query").form.querySelectorAll("button")) {
    button.hidden = !state.hits.length;
  }
  $("found").textContent = !$("query").value ? "" : !state.hits.length ? "none"
    : state.hit < 0 ? String(state.hits.length) : `${state.hit + 1} of ${state.hits.length}`;
}

// --- Depths, search, theme -----------------------------------------------------------------------

const depths = pictures.slice(0, data.depths).map((picture) => html("button", {
  type: "button", onclick: () => { closeAsIn(picture); arrange(); },
}, picture.open === boxes.size ? "all" : String(picture.depth)));
$("depths").append(...depths);
$("depths").hidden = depths.length < 2;

function search() {
  const wanted = $("query").value.trim().toLowerCase();
  const said = (key) => [item(key).label, item(key).call, item(key).kind].join("\n");
  state.hits = wanted ? order.filter((key) => said(key).toLowerCase().includes(wanted)) : [];
  state.hit = -1;
  paint();
}

/** To the next match, or the previous one: boxes around it open. */
function next(by) {
  if (!state.hits.length) return;
  const count = state.hits.length;
  state.hit = state.hit < 0 && by < 0 ? count - 1 : (state.hit + by + count) % count;
  const key = state.hits[state.hit];
  reveal(key);
  pin(key);
  show(key, true);
}

$("query").addEventListener("input", search);
$("query").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.shiftKey) { event.preventDefault(); next(-1); }
  if (event.key === "Escape") $("query").blur();  // the keys are the graph's again
});
$("query").form.addEventListener("submit", (event) => { event.preventDefault(); next(1); });
$("previous").addEventListener("click", () => next(-1));

$("smaller").addEventListener("click", () => zoom(1 / 1.3));
$("larger").addEventListener("click", () => zoom(1.3));
$("fit").addEventListener("click", fit);

const dark = matchMedia("(prefers-color-scheme: dark)");
function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
}
const paintTheme = () => $("theme").setAttribute("aria-pressed", String(isDark()));
$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  paintTheme();
});
dark.addEventListener("change", paintTheme);
paintTheme();

// --- Mouse and keyboard on the picture -----------------------------------------------------------

const keyOf = (event) => event.target.closest?.("[data-key]")?.dataset.key ?? null;

function pin(key) {
  state.pinned = key;
  state.pointed = null;
  paint();
}

function point(key) {
  if (state.pointed === key) return;
  state.pointed = key;
  paint();
}

stage.addEventListener("pointerover", (event) => {
  if (event.pointerType === "touch" || fingers.size) return;
  const key = keyOf(event);
  point(key && (nodes.has(key) || state.closed.has(key)) ? key : null);
});
stage.addEventListener("pointerleave", () => point(null));
stage.addEventListener("click", (event) => {
  if (travelled > 5) return;
  const key = keyOf(event);
  if (event.target.closest(".toggle")) toggleBox(key);
  else pin(key);
});
stage.addEventListener("dblclick", (event) => {
  const key = keyOf(event);
  if (boxes.has(key) && !event.target.closest(".toggle")) toggleBox(key);
});
stage.addEventListener("focusin", (event) => {
  const key = keyOf(event);
  if (!key || !event.target.matches(":focus-visible")) return;
  point(key);
  show(key);
});
stage.addEventListener("focusout", () => point(null));

/** The one node or box that Tab leads to. */
function rover() {
  const focused = document.activeElement?.dataset?.key;
  return standIn(focused ?? state.pinned ?? current() ?? order[0]);
}

function walk(by) {
  const seen = order.filter((key) => picture.shown.has(key));
  const at = seen.indexOf(document.activeElement?.dataset?.key);
  picture.shown.get(seen[Math.max(0, Math.min(at + by, seen.length - 1))])
    .focus({ preventScroll: true, focusVisible: true });
}

const shortcuts = {
  ArrowLeft: (event) => (event.shiftKey ? training : backward).by(-1),
  ArrowRight: (event) => (event.shiftKey ? training : backward).by(1),
  ArrowUp: () => walk(-1),
  ArrowDown: () => walk(1),
  Home: () => backward.go(0),
  End: () => backward.go(backward.last),
  " ": () => (backward.last ? backward : training).toggle(),
  "+": () => zoom(1.3),
  "=": () => zoom(1.3),
  "-": () => zoom(1 / 1.3),
  0: () => fit(),
  "/": () => $("query").select(),
  Escape: () => pin(null),
};

addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches("input[type=search], select")) return;
  if (target.matches("input[type=range]") && !" +-/".includes(key)) return;
  if (key === " " && target.matches("button")) return;
  const focused = target.closest?.("[data-key]")?.dataset.key;
  if (key === "Enter" && focused) {
    event.preventDefault();
    if (boxes.has(focused)) toggleBox(focused);
    else pin(focused);
  } else if (shortcuts[key]) {
    event.preventDefault();
    shortcuts[key](event);
  }
});

// --- Start ---------------------------------------------------------------------------------------

for (const { svg } of pictures) {
  svg.setAttribute("role", "application");
  svg.setAttribute("aria-label", `Graph of ${nodes.size} nodes in ${boxes.size} boxes. `
    + "Up and down arrows walk through it, Enter opens and closes boxes, "
    + "left and right arrows step through the backward pass.");
}
document.body.classList.add("live");
new ResizeObserver(look).observe(stage);
matchMedia("print").addEventListener("change", ({ matches }) => {
  const { x, y, width, height } = picture.home;  // paper shows all, whatever the screen shows
  if (matches) picture.svg.setAttribute("viewBox", [x, y, width, height].join(" "));
  else look();
});
arrange();
})();
