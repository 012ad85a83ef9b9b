// Curves: calibration, training by epoch, and sweeps over a knob of a data set.

/** Accuracy against confidence, a panel for each group. */
function calibrationFigure(table, rows) {
  const groups = GROUPS.filter((group) => rows.some((row) => reliability(row, group).length));
  if (!groups.length) return null;
  const plotIt = (width) => {
    const beside = width < 700 ? 1 : groups.length;
    const [each, tall] = [width / beside, 300];
    const height = (groups.length / beside) * tall;
    const box = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    groups.forEach((group, i) => {
      const f = frame(each, tall, { low: 0, high: 100, title: "confidence (%)" }, { low: 0, high: 100, title: i % beside ? "" : "accuracy (%)" });
      f.svg.setAttribute("x", (i % beside) * each);
      f.svg.removeAttribute("role"); // a part of the figure
      f.svg.setAttribute("y", Math.floor(i / beside) * tall);
      f.svg.append(s("line", { class: "border", x1: f.X(0), y1: f.Y(0), x2: f.X(100), y2: f.Y(100) }),
        s("text", { class: "name", x: (f.box.left + f.box.right) / 2, y: 9, "text-anchor": "middle" }, group));
      for (const row of litLast(table, rows)) {
        const lit = litOf(table).has(row.label);
        const placed = reliability(row, group).map(({ confidence, accuracy }) => [f.X(confidence), f.Y(accuracy)]);
        f.svg.append(series(row.look, lit, line(row.look, placed, lit ? 1.8 : 1), lit ? placed.map(([x, y]) => mark(row.look, x, y, 3)) : null));
      }
      box.append(f.svg);
    });
    return box;
  };
  const error = (found) => {
    const images = found.reduce((sum, one) => sum + one.images, 0);
    return images ? found.reduce((sum, one) => sum + one.images * Math.abs(one.confidence - one.accuracy), 0) / images : null;
  };
  const values = () => grid([{ text: "method", left: true }, ...groups.map((group) => `error of ${group} (%)`)],
    rows.map((row) => [row.text, ...groups.map((group) => percent(error(reliability(row, group))))]));
  return figure("calibration", "Calibration", "Accuracy of the test images of a group by the probability of the predicted class, in 15 bins of equal width over all runs of a row. On the dotted line both are equal.", plotIt, { wide: true, values });
}

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
