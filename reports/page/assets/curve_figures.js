// Curves: training by epoch, and sweeps over a knob of a data set.

/** A figure for each curve by epoch that runs have kept, the mean over the runs of a row. */
function historyFigures(table, rows) {
  const names = [...new Set(rows.flatMap((row) => doneOf(row).flatMap((record) => Object.keys(record.curves ?? {}))))];
  return names.map((name, i) => {
    const curves = rows.map((row) => [row, meanCurve(row, name)]).filter(([, curve]) => curve.length);
    const plotIt = (width) => {
      const xs = curves.flatMap(([, curve]) => curve.map(([x]) => x));
      const [low, high] = reach(curves.flatMap(([, curve]) => curve.map(([, y]) => y)), { percentages: false });
      const f = frame(width, 300, { low: Math.min(...xs), high: Math.max(...xs), title: "epoch" }, { low, high, title: name });
      for (const row of litLast(table, curves.map(([one]) => one))) {
        const placed = curves.find(([one]) => one === row)[1].map(([x, y]) => [f.X(x), f.Y(y)]);
        f.svg.append(series(row.look, litOf(table).has(row.label), line(row.look, placed), placed.length < 30 ? placed.map(([x, y]) => mark(row.look, x, y, 3)) : null));
      }
      return f.svg;
    };
    const about = { loss: "Mean training loss of each epoch. Losses of different methods are different quantities.", validation: "The score on validation images that selects the epoch." }[name] ?? "";
    const values = () => grid([{ text: "method", left: true }, "epoch", name], curves.flatMap(([row, curve]) => curve.map(([x, y]) => [row.text, brief(x), brief(y)])));
    return figure(`curve-${i}`, `${name[0].toUpperCase()}${name.slice(1)} by epoch`, about, plotIt, { values });
  });
}

/** Means over the runs of a row that have a value at an epoch. */
function meanCurve(row, name) {
  const found = new Map();
  for (const record of doneOf(row)) {
    for (const [epoch, value] of record.curves?.[name] ?? []) found.set(epoch, [...(found.get(epoch) ?? []), value]);
  }
  return [...found].sort((p, q) => p[0] - q[0]).map(([epoch, values]) => [epoch, mean(values)]);
}

const PANELS = ["overall", "head third", "tail third"];

function sweepFigure(sweep, number) {
  const xs = sweep.lines.flatMap((one) => one.points.map(([x]) => x));
  const log = Math.min(...xs) > 0 && Math.max(...xs) > 1 && Math.max(...xs) / Math.min(...xs) >= 5;
  const at = [...new Set(xs)].sort((p, q) => p - q).map((value) => [value, `${value}`]);
  const all = sweep.lines.flatMap((one) => one.points.flatMap(([, values]) => PANELS.map((name) => values[name][0])));
  const plotIt = (width) => {
    const [low, high] = reach(all);
    const each = width < 700 ? width : width / 3;
    const height = width < 700 ? 840 : 280;
    const box = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    PANELS.forEach((name, i) => {
      const [first, last] = [Math.min(...xs), Math.max(...xs)];
      const pad = log ? 1 : 0.04 * (last - first);
      const f = frame(each, 270, { low: log ? first / 1.15 : first - pad, high: log ? last * 1.15 : last + pad, log, ticks: at, title: sweep.title }, { low, high, title: i && width >= 700 ? "" : "%" });
      f.svg.setAttribute("x", width < 700 ? 0 : i * each);
      f.svg.setAttribute("y", width < 700 ? i * 280 : 0);
      f.svg.append(s("text", { class: "name", x: (f.box.left + f.box.right) / 2, y: 9, "text-anchor": "middle" }, sweep.sizes[name] ? `${name} (${sweep.sizes[name]} classes)` : name));
      for (const one of sweep.lines) {
        const placed = one.points.map(([x, values]) => [f.X(x), missing(values[name][0]) ? NaN : f.Y(values[name][0])]);
        f.svg.append(series(one.look, true, line(one.look, placed), placed.filter(([, y]) => !Number.isNaN(y)).map(([x, y]) => mark(one.look, x, y))));
      }
      box.append(f.svg);
    });
    return box;
  };
  const values = () => grid([{ text: "method", left: true }, sweep.title, ...PANELS],
    sweep.lines.flatMap((one) => one.points.map(([x, found]) => [one.label, `${x}`, ...PANELS.map((name) => percent(found[name][0]))])));
  const box = figure(`sweep-${number}`, `${sweep.base} / ${sweep.backbone}: ${sweep.title}`, sweep.notes[0] ?? "", plotIt, { wide: true, values });
  box.append(h("ul", { class: "legend key" }, sweep.lines.map((one) => h("li", {}, sample(one.look), bdi(one.label)))));
  return box;
}
