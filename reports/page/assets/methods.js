// Cards of the methods, published values, and the table over data sets.

function drawMethods() {
  const part = document.getElementById("methods");
  const names = [...new Set(DATA.records.map((record) => record.method))].sort();
  fill(part, names.map((name) => {
    const card = Object.hasOwn(DATA.methods, name) ? DATA.methods[name] : null;
    if (!card) return h("p", { class: "soft" }, h("b", {}, bdi(name)), ": a plug-in that was not given when this page was written");
    return later([h("b", {}, bdi(name)), " ", bdi(card.summary)], () => [
      facts(Object.entries(card.facts)),
      region(`Fields of ${name}`, grid([{ text: "field", left: true }, { text: "default", left: true }, { text: "meaning", left: true }], card.fields)),
    ], { id: `method-${names.indexOf(name)}` });
  }));
}

function drawPublished() {
  const part = document.getElementById("published");
  const found = DATA.tables.filter((table) => table.published);
  const show = (table) => {
    const { values, others, unread, legend: meaning, sign } = table.published;
    const sources = [...new Set(values.map((value) => value.source))];
    const digits = (value) => (Math.abs(value * 10 - Math.round(value * 10)) > 1e-6 ? 2 : 1);
    const rows = values.map((v) => [v.name, v.metric, fixed(v.published, digits(v.published)),
      missing(v.ours) ? NONE : fixed(v.ours, digits(v.published)) + (missing(v.std) ? "" : ` ± ${fixed(v.std, digits(v.published))}`),
      missing(v.difference) ? NONE : `${signed(v.difference, digits(v.published))}${v.beyond ? ` ${sign}` : ""}`, `(${sources.indexOf(v.source) + 1})`]);
    return [h("h3", {}, bdi(table.title)),
      values.length ? region("Published values", grid([{ text: "method", left: true }, { text: "value", left: true }, "published", "ours", "difference", "source"], rows))
        : h("p", {}, "No row of this table is the variant of a published value."),
      notes([...(values.length ? [meaning] : []), ...sources.map((source, i) => `(${i + 1}) ${source}`),
        ...(others.length ? [`Other variants, not compared: ${others.join("; ")}.`] : []),
        ...(unread.length ? [`Published values not read: ${unread.join("; ")}.`] : [])])];
  };
  fill(part, found.length ? found.map(show) : h("p", {}, "Nothing is published on these data sets with these backbones."));
}

function drawAcross() {
  const part = document.getElementById("across");
  PLOTS = PLOTS.filter(({ plot }) => !part.contains(plot));
  fill(part, DATA.across.length ? DATA.across.map((table, i) =>
    printedTable(table, table.ranks ? rankFigure(`ranks-${i}`, table.title, table.ranks, table.alike) : null))
    : h("p", {}, "No backbone has two data sets."));
}

/** The diagram of critical differences: variants by mean rank, and bars over those not shown to differ. */
function rankFigure(id, title, ranks, alike) {
  const plotIt = (width) => {
    const name = Math.min(200, width * 0.4);
    const [top, step] = [34, 20];
    const height = top + step * ranks.length + 6;
    const f = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    const X = (rank) => name + 8 + ((rank - 1) / Math.max(ranks.length - 1, 1)) * (width - name - 20);
    f.append(s("text", { x: (name + width) / 2, y: 10, "text-anchor": "middle" }, "mean rank"));
    for (const tick of ticks(1, ranks.length, width / 90)) {
      f.append(s("line", { class: "gridline", x1: X(tick), x2: X(tick), y1: top - 6, y2: height }),
        s("text", { x: X(tick), y: top - 10, "text-anchor": "middle" }, `${tick}`));
    }
    const Y = (i) => top + step * (i + 0.5);
    alike.forEach((group, i) => {
      const x = X(ranks[group.at(-1)][1]) + 9 + 4 * (i % 3);
      f.append(s("line", { class: "axis", "stroke-width": 2.5, x1: x, x2: x, y1: Y(group[0]) - 6, y2: Y(group.at(-1)) + 6 }));
    });
    ranks.forEach(([text, rank, look], i) => f.append(
      s("text", { class: "name", x: name, y: Y(i) + 4, "text-anchor": "end" }, shortened(text, name / 6.5)),
      series(look, true, mark(look, X(rank), Y(i), 5))));
    return f;
  };
  return figure(id, `Mean ranks, ${title}`, "A bar joins variants of which no two are shown to differ.", plotIt);
}
