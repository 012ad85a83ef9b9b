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
  const cell = ([text, marked]) => ({ best: h("b", {}, text), second: h("u", {}, text) }[marked] ?? text);
  fill(part, DATA.across.length ? DATA.across.map(({ title, caption, heads, lines, notes: below }) => [
    h("h3", {}, bdi(title)),
    caption ? h("p", {}, bdi(caption)) : null,
    region(title, grid(heads.map((text, i) => ({ text, left: i === 0 })), lines.map(([head, ...cells]) => [head, ...cells.map(cell)]))),
    notes(below),
  ]) : h("p", {}, "No backbone has two data sets."));
}
