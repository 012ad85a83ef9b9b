// What the figures share: a frame with axes, lines, markers, legends, and a table of the values.

const MARKS = {
  o: (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
  s: (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  "^": (r) => `M0,${-r}L${r},${r}H${-r}z`,
  v: (r) => `M0,${r}L${r},${-r}H${-r}z`,
  "<": (r) => `M${-r},0L${r},${-r}V${r}z`,
  ">": (r) => `M${r},0L${-r},${-r}V${r}z`,
  d: (r) => `M0,${-1.4 * r}L${0.8 * r},0L0,${1.4 * r}L${-0.8 * r},0z`,
  D: (r) => `M0,${-1.2 * r}L${1.2 * r},0L0,${1.2 * r}L${-1.2 * r},0z`,
  P: (r) => `M${-r / 3},${-r}h${r / 1.5}v${r / 1.5}h${r / 1.5}v${r / 1.5}h${-r / 1.5}v${r / 1.5}h${-r / 1.5}v${-r / 1.5}h${-r / 1.5}v${-r / 1.5}h${r / 1.5}z`,
  X: (r) => `M${-r},${-r / 2}L${-r / 2},${-r}L0,${-r / 2}L${r / 2},${-r}L${r},${-r / 2}L${r / 2},0L${r},${r / 2}L${r / 2},${r}L0,${r / 2}L${-r / 2},${r}L${-r},${r / 2}L${-r / 2},0z`,
};
MARKS["*"] = (r) => {
  const points = [...Array(10).keys()].map((i) => {
    const [size, angle] = [i % 2 ? 0.5 * r : 1.3 * r, (Math.PI * i) / 5 - Math.PI / 2];
    return `${(size * Math.cos(angle)).toFixed(2)},${(size * Math.sin(angle)).toFixed(2)}`;
  });
  return `M${points.join("L")}z`;
};

const mark = (look, x, y, r = 4) =>
  s("path", { class: look.filled ? "mark" : "mark hollow", d: (MARKS[look.marker] ?? MARKS.o)(r), transform: `translate(${x},${y})` });

/** A group of a row's lines and markers, in its colour; pale unless it stands out. */
function series(look, lit, ...children) {
  const group = s("g", { class: lit ? null : "behind" }, ...children);
  group.style.setProperty("--series", look.colour);
  return group;
}

/** A line through points; a point that is not there interrupts it. */
function line(look, points, width = 1.8) {
  let [path, pen] = ["", "M"];
  for (const [x, y] of points) {
    if (Number.isNaN(y)) pen = "M";
    else {
      path += `${pen}${x.toFixed(1)},${y.toFixed(1)}`;
      pen = "L";
    }
  }
  const dashes = look.dashes.length ? look.dashes.map((d) => d * width).join(" ") : null;
  return s("path", { class: "series", d: path, "stroke-width": width, "stroke-dasharray": dashes });
}

/** Axes with ticks. `x` and `y` are {low, high, title, log, ticks: [[value, text]]}. */
function frame(width, height, x, y) {
  const box = { left: 46, right: width - 12, top: 10, bottom: height - 38 };
  const at = ({ low, high, log }, from, to) => {
    const f = log ? Math.log : (value) => value;
    return (value) => from + ((f(value) - f(low)) / (f(high) - f(low) || 1)) * (to - from);
  };
  const [X, Y] = [at(x, box.left, box.right), at(y, box.bottom, box.top)];
  const marks = (axis, count) =>
    axis.ticks ?? (axis.log ? logTicks(axis.low, axis.high).map((v) => [v, brief(v)]) : ticks(axis.low, axis.high, count).map((v) => [v, `${v}`.replace("-", "−")]));
  const middle = (box.top + box.bottom) / 2;
  const svg = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" },
    marks(y, height / 50).map(([value, text]) => [
      s("line", { class: "gridline", x1: box.left, x2: box.right, y1: Y(value), y2: Y(value) }),
      s("text", { x: box.left - 6, y: Y(value) + 4, "text-anchor": "end" }, text)]),
    marks(x, Math.max(3, width / 110)).map(([value, text]) => [
      s("line", { class: "axis", x1: X(value), x2: X(value), y1: box.bottom, y2: box.bottom + 4 }),
      s("text", { x: X(value), y: box.bottom + 16, "text-anchor": "middle" }, text)]),
    s("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
    s("text", { x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle" }, x.title),
    s("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, y.title));
  return { svg, X, Y, box };
}

/** Ends of an axis with some room around values, at most 0 to 100 for percentages. */
function reach(values, { percentages = true, room = 0.06 } = {}) {
  const present = values.filter((value) => Number.isFinite(value));
  if (!present.length) return [0, percentages ? 100 : 1];
  const [least, most] = [Math.min(...present), Math.max(...present)];
  const add = Math.max(room * (most - least), percentages ? 1 : 1e-9);
  return percentages ? [Math.max(least - add, -1), Math.min(most + add, 101)] : [least - add, most + add];
}

/** A figure: a caption, a plot drawn for the width it gets, the values as a table. */
function figure(id, title, about, drawPlot, { wide = false, values = null } = {}) {
  const plot = h("div", { class: "plot" });
  const box = h("figure", { id, class: wide ? "wide" : null },
    h("figcaption", {}, title, about ? h("p", {}, bdi(about)) : null), plot,
    values ? later("Values as a table", () => region(title, values()), { id: `${id}-values` }) : null);
  const render = (room) => {
    const width = Math.min(Math.max(room, 260), 1200);
    const drawn = drawPlot(width, plot);
    drawn.setAttribute("aria-label", `${title}. ${about ?? ""}`);
    plot.replaceChildren(drawn);
  };
  PLOTS.push({ plot, render });
  return box;
}

let PLOTS = [];

const PAPER = 680;

/** Draw the figures that have a place by now, each for the width of its place or of paper. */
function renderPlots() {
  PLOTS = PLOTS.filter(({ plot }) => plot.isConnected);
  const printed = matchMedia("print").matches;
  // All are measured before any is drawn, or the browser would lay the page out for each.
  const rooms = PLOTS.map(({ plot }) => (printed ? PAPER : plot.clientWidth));
  PLOTS.forEach(({ render }, i) => render(rooms[i]));
}

const sample = (look) => {
  const group = series(look, true, line(look, [[0, 6], [26, 6]]), mark(look, 13, 6, 3.5));
  return s("svg", { width: 26, height: 12, "aria-hidden": "true" }, group);
};

/** Buttons that say how rows are drawn; pressed ones stand out in all figures of the table. */
function legend(table, rows) {
  const lit = litOf(table);
  return h("ul", { class: "legend", id: "legend", "aria-label": "Rows that stand out in the figures" }, rows.map((row, i) => h("li", {}, h("button", {
    type: "button", id: `lit-${i}`, "aria-pressed": `${lit.has(row.label)}`,
    onclick: () => {
      if (lit.has(row.label)) lit.delete(row.label); else lit.add(row.label);
      drawFigures();
    },
  }, sample(row.look), bdi(row.text)))));
}

/** A text at the pointer, or at the place that the arrow keys have reached. */
function tip(plot, x, y, lines) {
  plot.querySelector(".tip")?.remove();
  if (!lines) return;
  const box = h("div", { class: "tip", role: "status" }, lines.map((text, i) => h(i ? "div" : "b", {}, bdi(text))));
  plot.append(box);
  const width = Math.min(box.offsetWidth, plot.clientWidth);
  box.style.left = `${Math.min(Math.max(x + 12, 0), Math.max(plot.clientWidth - width, 0))}px`;
  box.style.top = `${Math.max(y - box.offsetHeight - 8, 0)}px`;
}
