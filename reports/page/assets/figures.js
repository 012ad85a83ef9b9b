// The figures of a table, and of sweeps over a knob.

function drawFigures() {
  const part = document.getElementById("figures");
  const table = tableNow();
  PLOTS = PLOTS.filter(({ plot }) => !part.contains(plot));
  const rows = table ? table.rows.filter((row) => row.done.length) : [];
  const sweeps = DATA.sweeps.map(sweepFigure);
  if (!rows.length) {
    fill(part, h("p", {}, "No row has results here."), sweeps);
  } else {
    fill(part, h("div", { class: "controls" }, tableChoice("figures-table")),
      h("p", { class: "soft" }, "Pressed rows stand out in all figures."), legend(table, ranked(table)),
      h("div", { class: "grid" }, headTail(table, rows), groupDots(table, rows), tradeOff(table, rows),
        costFigure(table, rows), tailFigure(table, rows), calibrationFigure(table, rows), historyFigures(table, rows), sweeps));
  }
  renderPlots();
}

const percentTitle = (table) => (table.task === "multi" ? "average precision (%)" : "accuracy (%)");
const litLast = (table, rows) => [...rows].sort((x, y) => litOf(table).has(x.label) - litOf(table).has(y.label));

/** Means of the groups, with ± over runs. */
function groupDots(table, rows) {
  const columns = table.columns.filter((c) => c.group || c.key === table.main);
  const plotIt = (width) => {
    const [low, high] = reach(rows.flatMap((row) => columns.flatMap(({ key }) => {
      const [average, std] = row.values[key];
      return missing(average) ? [] : [average - (std ?? 0), average + (std ?? 0)];
    })));
    const f = frame(width, 300, { low: -0.5, high: columns.length - 0.5, title: "", ticks: columns.map((c, i) => [i, c.size ? `${c.title} (${c.size})` : c.title]) },
      { low, high, title: percentTitle(table) });
    rows.forEach((row, i) => {
      const lit = litOf(table).has(row.label);
      f.svg.append(series(row.look, lit, columns.map(({ key }, j) => {
        const [average, std] = row.values[key];
        if (missing(average)) return null;
        const x = f.X(j + ((i + 0.5) / rows.length - 0.5) * 0.8);
        const whisker = missing(std) ? null : s("line", { class: "series", "stroke-width": 1.2, x1: x, x2: x, y1: f.Y(average - std), y2: f.Y(average + std) });
        return [whisker, mark(row.look, x, f.Y(average), lit ? 4 : 2.5)];
      })));
    });
    return f.svg;
  };
  const values = () => grid([{ text: "method", left: true }, ...columns.map((c) => c.title)],
    rows.map((row) => [row.text, ...columns.map(({ key }) => percent(row.values[key][0]) + (missing(row.values[key][1]) ? "" : ` ± ${percent(row.values[key][1])}`))]));
  return figure("groups", "Groups", "Means over runs; lines are standard deviations over runs.", plotIt, { values });
}

/** Rows as points. `x` and `y` give a row's values; rows without one are left out. */
function points(id, title, about, table, rows, xAxis, yAxis, extra = () => null) {
  const placed = rows.map((row) => ({ row, x: xAxis.of(row), y: yAxis.of(row) })).filter(({ x, y }) => !missing(x) && !missing(y));
  if (placed.length < 2) return null;
  const plotIt = (width) => {
    const xs = placed.map(({ x }) => x);
    const [xLow, xHigh] = xAxis.log ? [Math.min(...xs) / 1.4, Math.max(...xs) * 1.4] : reach(xs);
    const [yLow, yHigh] = reach(placed.map(({ y }) => y));
    const f = frame(width, 300, { low: xLow, high: xHigh, title: xAxis.title, log: xAxis.log }, { low: yLow, high: yHigh, title: yAxis.title });
    f.svg.append(s("g", {}, extra(f, placed, { xLow, xHigh, yLow, yHigh })));
    for (const row of litLast(table, placed.map((p) => p.row))) {
      const { x, y } = placed.find((p) => p.row === row);
      const drawn = mark(row.look, f.X(x), f.Y(y), 5);
      drawn.append(s("title", {}, `${row.text}: ${xAxis.text(x)}, ${yAxis.text(y)}`));
      f.svg.append(series(row.look, litOf(table).has(row.label), drawn));
    }
    name(f, placed.filter(({ row }) => litOf(table).has(row.label)));
    return f.svg;
  };
  const values = () => grid([{ text: "method", left: true }, xAxis.title, yAxis.title], placed.map(({ row, x, y }) => [row.text, xAxis.text(x), yAxis.text(y)]));
  return figure(id, title, about, plotIt, { values });
}

/** Names beside points, as far as they do not cover each other. */
function name(f, placed) {
  const taken = placed.map(({ x, y }) => ({ x: f.X(x) - 6, y: f.Y(y) + 4, size: 12 }));
  for (const { row, x, y } of [...placed].sort((p, q) => q.y - p.y)) {
    const text = shortened(row.text, 24);
    const size = 6 * text.length;
    const left = f.X(x) + 8 + size > f.box.right;
    const box = { x: left ? f.X(x) - 8 - size : f.X(x) + 7, y: f.Y(y) + 4, size };
    if (taken.some((other) => Math.abs(other.y - box.y) < 11 && other.x < box.x + size && box.x < other.x + other.size)) continue;
    taken.push(box);
    f.svg.append(s("text", { class: "name", x: left ? f.X(x) - 8 : box.x, y: box.y, "text-anchor": left ? "end" : "start" }, text));
  }
}

const ofMetric = (table, key) => ({
  of: (row) => row.values[key]?.[0],
  title: `${table.columns.find((c) => c.key === key)?.title ?? key} (%)`,
  text: percent,
});

/** The rows that no other row beats in both values, by rising x. */
function front(placed, better = (one, other) => one.x >= other.x && one.y >= other.y) {
  return placed
    .filter((one) => !placed.some((other) => other !== one && better(other, one) && !(other.x === one.x && other.y === one.y)))
    .sort((p, q) => p.x - q.x || q.y - p.y);
}

const stairs = (f, best) => s("path", { class: "border", fill: "none", d: best.map(({ x, y }, i) => `${i ? "L" : "M"}${f.X(x)},${f.Y(y)}`).join("") });

function tradeOff(table, rows) {
  return points("trade-off", "Head against tail", "Few-shot against many-shot classes. The dotted line joins the rows that no other beats in both.",
    table, rows, ofMetric(table, "many"), ofMetric(table, "few"), (f, placed) => stairs(f, front(placed)));
}

function costFigure(table, rows) {
  const trained = rows.filter((row) => row.costs.fit_s?.[0] > 0);
  const x = { of: (row) => row.costs.fit_s?.[0], title: "fit time (s, log scale)", log: true, text: (value) => `${brief(value)} s` };
  return points("cost", "Cost against accuracy", "Seconds of a fit on the hardware of the runs; shares where fits were made together. The dotted line joins the rows that no other beats in both.",
    table, trained, x, ofMetric(table, table.main), (f, placed) => stairs(f, front(placed, (one, other) => one.x <= other.x && one.y >= other.y)));
}

/** Where the images of tail classes go. */
function tailFigure(table, rows) {
  if (table.task !== "single") return null;
  const shares = rows.map((row) => ({ row, to: destinations(table, row, "few") })).filter(({ to }) => to).reverse();
  if (!shares.length) return null;
  const parts = [["right", "right"], ["few", "another few-shot class"], ["medium", "a medium-shot class"], ["many", "a many-shot class"]];
  const values = () => grid([{ text: "method", left: true }, ...parts.map(([, text]) => text)],
    shares.map(({ row, to }) => [row.text, ...parts.map(([key]) => `${fixed(to[key], 1)} %`)]));
  const plotIt = (width) => {
    const name = Math.min(170, width * 0.4);
    const height = 22 * shares.length + 6;
    const f = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    shares.forEach(({ row, to }, i) => {
      let x = name;
      f.append(s("text", { class: "name", x: name - 8, y: 22 * i + 15, "text-anchor": "end" }, shortened(row.text, name / 6.5)));
      parts.forEach(([key, text], j) => {
        const size = (to[key] / 100) * (width - name - 4);
        f.append(s("rect", { class: `part-${j}`, x, y: 22 * i + 2, width: size, height: 18 }, s("title", {}, `${row.text}: ${text} ${fixed(to[key], 1)} %`)));
        if (size > 30) f.append(s("text", { class: `on-${j}`, x: x + size / 2, y: 22 * i + 15, "text-anchor": "middle" }, fixed(to[key], 0)));
        x += size;
      });
    });
    return f;
  };
  const box = figure("tail", "Where tail images go", "Percent of the test images of few-shot classes that are …", plotIt, { values });
  const swatch = (j) => s("svg", { width: 12, height: 12, "aria-hidden": "true" }, s("rect", { class: `part-${j}`, width: 12, height: 12 }));
  box.append(h("ul", { class: "legend key" }, parts.map(([, text], j) => h("li", {}, swatch(j), j ? `taken for ${text}` : text))));
  return box;
}
