// Figures with a place for each class, from the most to the least frequent.

/** Ranks averaged into a point of a line: a tenth of the classes, odd; 1 below 20 classes. */
const smoothing = (classes) => (classes < 20 ? 1 : Math.floor(Math.floor(classes / 10) / 2) * 2 + 1);

/** Means over neighbouring ranks of the same group. */
function smoothed(values, groups, window) {
  const half = Math.floor(window / 2);
  return values.map((_, i) => {
    const near = [];
    for (let j = Math.max(i - half, 0); j <= Math.min(i + half, values.length - 1); j++) {
      if (groups[j] === groups[i]) near.push(values[j]);
    }
    return meanOfPresent(near);
  });
}

function headTail(table, rows) {
  const classes = classesOf(table);
  const order = headFirst(classes);
  const groups = order.map((c) => classes.groups[c]);
  const few = order.length <= 12;
  const window = smoothing(order.length);
  const curves = new Map(rows.map((row) => [row, order.map((c) => rowValues(table, row)[c])]));
  const about = few ? "Each mark is a class; there are too few for a line."
    : `Classes from the most frequent to the rarest. Lines are means over ${window} neighbours of a group. Arrow keys move over the classes, Enter opens one.`;
  const plotIt = (width, plot) => {
    const [low, high] = reach([...curves.values()].flat());
    const ticksAt = few ? order.map((c, i) => [i + 1, shortened(classes.names[c], width / order.length / 7)]) : null;
    const f = frame(width, 340, { low: 0.5, high: order.length + 0.5, title: few ? "class" : "class, by falling number of training images", ticks: ticksAt },
      { low, high, title: percentTitle(table) });
    zones(f, groups);
    for (const row of litLast(table, rows)) {
      const lit = litOf(table).has(row.label);
      const values = curves.get(row);
      const smooth = few ? values : smoothed(values, groups, window);
      const points = smooth.map((value, i) => [f.X(i + 1), f.Y(value)]);
      const parts = few ? [] : pieces(points, groups).map((piece) => line(row.look, piece, lit ? 1.8 : 1));
      const step = few ? 1 : Math.max(Math.floor(order.length / 8), 1);
      const start = few ? 0 : Math.floor((step * rows.indexOf(row)) / rows.length);
      const marks = points.filter(([, y], i) => lit && i % step === start && !Number.isNaN(y)).map(([x, y]) => mark(row.look, x, y, few ? 5 : 3.5));
      f.svg.append(series(row.look, lit, parts, marks));
    }
    browse(f, plot, table, rows, order, curves);
    return f.svg;
  };
  const values = () => grid([{ text: "class", left: true }, "group", "train", ...rows.map((row) => row.text)],
    order.map((c, i) => [classes.names[c], classes.groups[c], whole(classes.counts[c]), ...rows.map((row) => percent(curves.get(row)[i]))]));
  return figure("head-tail", "Accuracy by class, from head to tail", about, plotIt, { wide: true, values });
}

const shortened = (text, most) => (text.length > most ? `${text.slice(0, Math.max(most - 1, 1))}…` : text);

/** Points of a line, cut where the group changes. */
function pieces(points, groups) {
  const found = [];
  points.forEach((point, i) => {
    if (!i || groups[i] !== groups[i - 1]) found.push([]);
    found.at(-1).push(point);
  });
  return found;
}

/** The groups as shades with their names. */
function zones({ svg, X, box }, groups) {
  GROUPS.filter((group) => groups.includes(group)).forEach((group, i) => {
    const [first, last] = [groups.indexOf(group) + 0.5, groups.lastIndexOf(group) + 1.5];
    if (i % 2) svg.append(s("rect", { class: "zone", x: X(first), width: X(last) - X(first), y: box.top, height: box.bottom - box.top }));
    svg.append(s("text", { x: (X(first) + X(last)) / 2, y: box.top + 2, "text-anchor": "middle" }, `${group} (${last - first})`));
  });
}

/** A pointer, or the arrow keys, choose a class of a figure; Enter and a click open it. */
function browse(f, plot, table, rows, order, curves) {
  const classes = classesOf(table);
  const rule = s("line", { class: "border", y1: f.box.top, y2: f.box.bottom, visibility: "hidden" });
  f.svg.append(rule);
  let place = -1;
  const show = (i) => {
    place = Math.min(Math.max(i, 0), order.length - 1);
    const x = f.X(place + 1);
    rule.setAttribute("x1", x);
    rule.setAttribute("x2", x);
    rule.setAttribute("visibility", "visible");
    const lit = rows.filter((row) => litOf(table).has(row.label)).map((row) => [row.text, curves.get(row)[place]]);
    const best = lit.sort((p, q) => q[1] - p[1]).slice(0, 8).map(([text, value]) => `${shortened(text, 40)}: ${percent(value)}`);
    tip(plot, x, f.box.top + 120, [`${classes.names[order[place]]} (${whole(classes.counts[order[place]])})`, ...best]);
  };
  const hide = () => { rule.setAttribute("visibility", "hidden"); tip(plot); };
  const open = () => { if (place >= 0) { chooseClass(classes.names[order[place]]); location.hash = "class"; } };
  f.svg.setAttribute("tabindex", "0");
  f.svg.addEventListener("pointermove", (event) => {
    const x = event.clientX - f.svg.getBoundingClientRect().left;
    show(Math.round(((x - f.X(1)) / (f.X(order.length) - f.X(1) || 1)) * (order.length - 1)));
  });
  f.svg.addEventListener("pointerleave", hide);
  f.svg.addEventListener("blur", hide);
  f.svg.addEventListener("click", open);
  f.svg.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -order.length, End: order.length }[event.key];
    if (by !== undefined) { show((place < 0 ? (by > 0 ? -1 : 1) : place) + by); event.preventDefault(); }
    if (event.key === "Enter") open();
    if (event.key === "Escape") hide();
  });
}

/** The differences of two rows by class, from the most to the least frequent class. */
function differenceFigure(table, a, b, changes) {
  const classes = classesOf(table);
  const order = headFirst(classes);
  const groups = order.map((c) => classes.groups[c]);
  const by = new Map(changes.map((change) => [change.c, change.by]));
  const plotIt = (width, plot) => {
    const [low, high] = reach([0, ...by.values()], { percentages: false });
    const f = frame(width, 260, { low: 0.5, high: order.length + 0.5, title: "class, by falling number of training images" }, { low, high, title: "A − B (points)" });
    zones(f, groups);
    const size = Math.max((f.box.right - f.box.left) / order.length - 1, 0.7);
    order.forEach((c, i) => {
      const value = by.get(c);
      if (!value) return;
      const [top, bottom] = [f.Y(Math.max(value, 0)), f.Y(Math.min(value, 0))];
      f.svg.append(s("rect", { class: value > 0 ? "up" : "down", x: f.X(i + 1) - size / 2, width: size, y: top, height: Math.max(bottom - top, 0.5) }));
    });
    const rows = [a, b];
    const curves = new Map(rows.map((row) => [row, order.map((c) => rowValues(table, row)[c])]));
    browse(f, plot, table, rows, order, curves);
    return f.svg;
  };
  return figure("difference", "Difference by class", "", plotIt);
}
