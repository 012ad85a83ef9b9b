// Two rows of a table: their paired differences, the classes that changed, what moved.

function drawPair() {
  const part = document.getElementById("pair");
  const table = tableNow();
  const [a, b] = [rowNamed(table, state.a), rowNamed(table, state.b)];
  if (!a || !b) {
    fill(part, tableChoice("pair-table"), h("p", {}, "Fewer than two rows have results here."));
    return;
  }
  fill(part, pairControls(table), pairDifferences(table, a, b), changedClasses(table, a, b), movedImages(table, a, b));
}

function pairControls(table) {
  const rows = ranked(table).map((row) => [row.label, row.text]);
  return h("div", { class: "controls" },
    tableChoice("pair-table"),
    choice("A", "pair-a", rows, state.a, (label) => choosePair(table, "a", label)),
    choice("B", "pair-b", rows, state.b, (label) => choosePair(table, "b", label)),
    h("button", { type: "button", id: "swap", onclick: () => choosePair(table, "a", state.b) }, "Swap A and B"));
}

/** The comparison of two rows; null if they share no runs, or predictions are missing. */
function comparisonOf(table, a, b) {
  if (table.task === "multi") return comparisonAhead(table, table.rows.indexOf(a), table.rows.indexOf(b));
  const units = pairedUnits(a, b);
  const records = units.flat(2);
  const { images } = records[0] ?? {};
  if (images === undefined || records.some((record) => record.images !== images)) return null;
  return once(a, `against ${table.rows.indexOf(b)}`, () => {
    const found = table.columns
      .filter((column) => DATA.weights[records[0].weights][column.key])
      .map((column) => [column.key, pairedInterval(units, column.key)])
      .filter(([, interval]) => interval);
    const metrics = Object.fromEntries(found.map(([key, one]) => [key, { ...one, p: pValue(one), runs: one.units }]));
    const { overall, balanced } = metrics;
    const alike = (x, y) => Math.abs(x - y) < 1e-9;
    if (balanced && ["a", "b", "low", "high"].every((end) => alike(overall[end], balanced[end]))) delete metrics.balanced;
    const fixed = pooled(doneOf(a)[0].facts).deterministic && pooled(doneOf(b)[0].facts).deterministic;
    return { metrics, oneRun: units.length === 1 && !fixed, units: units.map(unitName(units)),
             covers: coverage(units, fixed), notes: leftOut(a, b, records) };
  });
}

const seedOf = ([one, other]) => (pooled(one.facts).deterministic ? other.seed : one.seed);

const unitName = (units) => {
  const several = new Set(units.flat().map(([one]) => one.split)).size > 1;
  return (unit) => (several ? `split ${unit[0][0].split}` : `seed ${seedOf(unit[0])}`);
};

/** Sources of variation in the intervals, in words. */
function coverage(units, fixed) {
  const images = whole(imagesOf(units[0][0][0]).labels.length);
  const names = units.map(unitName(units)).join(", ");
  if (fixed && units.length === 1) return `the choice of ${images} test images; both variants are deterministic.`;
  if (units.length === 1) return `the choice of ${images} test images alone: there is one run (${names}).`;
  return `the choice of ${images} test images and of ${units.length} runs (${names}).`;
}

function leftOut(a, b, used) {
  return [[a, b], [b, a]].flatMap(([row, other]) => {
    const lonely = doneOf(row).filter((record) => !used.includes(record)).length;
    return [
      ...(lonely ? [`${row.label}: ${lonely} of ${row.done.length} runs are left out, because ${other.label} has none to pair them with.`] : []),
      ...(row.failed.length ? [`${row.label}: ${row.failed.length} runs have no result.`] : []),
    ];
  });
}

/** The comparison of two rows of multi-label data, which Python made; seen from the first. */
function comparisonAhead(table, a, b) {
  const found = (table.pairs ?? []).find((p) => (p.a === a && p.b === b) || (p.a === b && p.b === a));
  if (!found) return null;
  const turned = found.a !== a;
  const metrics = {};
  for (const [key, [first, second, difference, low, high, p, runs]] of Object.entries(found.metrics)) {
    metrics[key] = turned
      ? { a: second, b: first, difference: -difference, low: -high, high: -low, p, runs: runs.map((r) => -r) }
      : { a: first, b: second, difference, low, high, p, runs };
  }
  return { ...found, covers: pooled(found.covers), notes: found.notes.map(pooled),
           units: pooled(found.units), metrics };
}

/** Verdicts on the metrics of a pair, which hold together by Holm's rule. */
function verdictsOf(table, comparison) {
  const keys = Object.keys(comparison.metrics);
  if (comparison.oneRun) return Object.fromEntries(keys.map((key) => [key, "no verdict: one run"]));
  const adjusted = holm(keys.map((key) => comparison.metrics[key].p));
  return Object.fromEntries(keys.map((key, i) => {
    if (adjusted[i] >= LEVEL) return [key, "no difference shown"];
    const { higher } = table.columns.find((column) => column.key === key);
    return [key, comparison.metrics[key].difference > 0 === higher ? "A better" : "B better"];
  }));
}

function pairDifferences(table, a, b) {
  const comparison = comparisonOf(table, a, b);
  const who = h("p", {}, "A: ", h("b", {}, bdi(a.text)), h("br"), "B: ", h("b", {}, bdi(b.text)));
  if (!comparison) {
    return [who, h("p", { class: "soft" }, "No paired differences: the rows share no seeds, or their "
      + "predictions are not in this file.")];
  }
  const verdicts = verdictsOf(table, comparison);
  const keys = Object.keys(comparison.metrics);
  const ends = keys.flatMap((key) => [comparison.metrics[key].low, comparison.metrics[key].high]);
  const scale = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const heads = [{ text: "metric", left: true }, "A", "B", "A − B", "95 % interval", "", { text: "verdict", left: true }];
  const rows = keys.map((key) => {
    const m = comparison.metrics[key];
    const column = table.columns.find((one) => one.key === key);
    const shown = verdicts[key].endsWith("better");
    const style = { "A better": "better", "B better": "worse" }[verdicts[key]] ?? null;
    return [column.size ? `${column.title} (${column.size})` : column.title, percent(m.a), percent(m.b),
      signed(m.difference), `${signed(m.low)} to ${signed(m.high)}`, intervalPicture(m, scale, shown),
      h("span", { class: style }, verdicts[key])];
  });
  const one = keys.length > 1 && !comparison.oneRun
    ? [`Verdicts hold together for the ${keys.length} metrics of this pair (Holm's rule), so an interval may exclude 0 where no difference is shown. Of many pairs that you look at, some differ by chance.`]
    : [];
  return [who, region("Paired differences", h("div", { id: "differences" }, grid(heads, rows, "A − B in points, paired by image and seed"))),
    notes([`The intervals cover ${comparison.covers}`, ...one, ...comparison.notes]), runDifferences(table, comparison)];
}

/** An interval as a line with a dot, on a scale that all metrics share. */
function intervalPicture({ difference, low, high }, [least, most], shown) {
  const [width, height] = [150, 16];
  const x = (value) => 4 + ((value - least) / (most - least || 1)) * (width - 8);
  return s("svg", { width, height, "aria-hidden": "true" },
    s("line", { class: "gridline", x1: x(0), x2: x(0), y1: 0, y2: height }),
    s("line", { class: "axis", x1: x(low), x2: x(high), y1: height / 2, y2: height / 2, "stroke-width": shown ? 2.5 : 1 }),
    s("circle", { class: "mark", cx: x(difference), cy: height / 2, r: 4, fill: "currentColor" }));
}

function runDifferences(table, comparison) {
  if (comparison.units.length < 2) return null;
  const keys = Object.keys(comparison.metrics);
  return later("Differences of single runs", () => region("Differences of single runs", grid(
    [{ text: "run", left: true }, ...keys.map((key) => table.columns.find((c) => c.key === key).title)],
    comparison.units.map((unit, i) => [unit, ...keys.map((key) => signed(comparison.metrics[key].runs[i]))]))),
    { id: "run-differences" });
}

/** The classes with the largest differences between two rows, and all by frequency as a figure. */
function changedClasses(table, a, b) {
  const classes = classesOf(table);
  const [first, second] = [rowValues(table, a), rowValues(table, b)];
  const changes = classes.names
    .map((name, c) => ({ name, c, a: first[c], b: second[c], by: first[c] - second[c] }))
    .filter(({ by }) => !Number.isNaN(by));
  const sorted = [...changes].sort((x, y) => y.by - x.by || x.c - y.c);
  const list = (items, caption) => region(caption, grid(
    [{ text: "class", left: true }, "group", "train", "A", "B", "A − B"],
    items.map(({ name, c, a: va, b: vb, by }) => [classLink(name), classes.groups[c], whole(classes.counts[c]),
      percent(va), percent(vb), signed(by, 1)]), caption));
  const up = sorted.filter(({ by }) => by > 0).slice(0, 10);
  const down = sorted.filter(({ by }) => by < 0).reverse().slice(0, 10);
  return [h("h3", {}, "Classes that changed most"),
    differenceFigure(table, a, b, changes),
    h("div", { class: "columns", id: "changed" },
      up.length ? list(up, "A is higher") : null, down.length ? list(down, "B is higher") : null)];
}

const classLink = (name) => h("button", {
  type: "button", class: "link",
  onclick: () => { chooseClass(name); document.getElementById("class").scrollIntoView(); document.getElementById("class-name").focus({ preventScroll: true }); },
}, bdi(name));
