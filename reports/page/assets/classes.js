// One class: what it is, and how well each row knows it.

function drawClass() {
  const part = document.getElementById("class");
  const table = tableNow();
  const classes = table ? classesOf(table) : null;
  if (!classes) {
    fill(part, h("p", {}, "No row has results here."));
    return;
  }
  const c = classes.names.indexOf(state.cls);
  fill(part, classControls(classes, c), classFacts(table, classes, c),
    h("div", { class: "columns" }, classRows(table, c), classMistakes(table, classes, c)));
}

function classControls(classes, c) {
  const order = headFirst(classes);
  const place = order.indexOf(c);
  const names = h("datalist", { id: "class-names" }, order.map((i) => option(classes.names[i], `${classes.groups[i]}, ${classes.counts[i]}`)));
  const input = h("input", {
    id: "class-name", list: "class-names", value: state.cls, autocomplete: "off", "aria-describedby": "class-unknown",
    onchange: () => {
      if (classes.names.includes(input.value)) chooseClass(input.value);
      else document.getElementById("class-unknown").textContent = "No class has this name.";
    },
  });
  const step = (by, text, id) => h("button", {
    type: "button", id, disabled: !(place + by in order), onclick: () => chooseClass(classes.names[order[place + by]]),
  }, text);
  return h("div", { class: "controls" }, tableChoice("class-table"),
    field("Class", input), names, step(-1, "More frequent", "class-before"), step(1, "Rarer", "class-after"),
    h("span", { id: "class-unknown", class: "warning", role: "status" }));
}

function classFacts(table, classes, c) {
  const tests = testImages(table);
  const described = descriptionsOf(table)[c];
  const rank = headFirst(classes).indexOf(c) + 1;
  return h("div", { id: "class-facts" }, facts([
    ["name", classes.names[c]],
    ["description", described ?? "not known: the record holds only a hash of the texts"],
    ["frequency", `${whole(classes.counts[c])} training images, rank ${rank} of ${classes.names.length}`],
    ["group", `${classes.groups[c]} (rule ${classes.rule})`],
    ["test images", tests ? whole(tests[c]) : null],
  ]));
}

function classRows(table, c) {
  const rows = ranked(table)
    .map((row) => ({ row, value: rowValues(table, row)[c], runs: doneOf(row).map((r) => valuesOf(r)[c]) }))
    .filter(({ value }) => !Number.isNaN(value))
    .sort((x, y) => y.value - x.value);
  const counted = table.task === "single" && rows.some(({ row }) => keepsClasses(row));
  const others = (row) => (counted ? precisionAndF1(row, c).map(percent) : []);
  return region("Accuracy by row", h("div", { id: "class-rows" }, grid(
    [{ text: "method", left: true }, table.task === "multi" ? "average precision" : "accuracy", "±", "",
      ...(counted ? ["precision", "F1"] : []), table.columns.find((c) => c.key === table.main).title],
    rows.map(({ row, value, runs }) => [row.text, percent(value), percent(deviation(runs.filter((v) => !missing(v)))),
      bar(value), ...others(row), percent(row.values[table.main][0])]),
    "This class by row, the mean over runs")));
}

function bar(value) {
  const box = h("span", { class: "bar", "aria-hidden": "true" });
  box.style.width = `${Math.max(value, 0) * 1.2}px`;
  return h("span", {}, box);
}

/** Whether the predicted classes of some run of a row are kept. */
const keepsClasses = (row) => doneOf(row).some((record) => record.wrong !== undefined);

function classMistakes(table, classes, c) {
  if (table.task !== "single") return null;
  const rows = ranked(table).filter(keepsClasses);
  if (!rows.length) return h("p", { class: "soft" }, noPredictions(table));
  const chosen = rows.find((row) => row.label === state.confused) ?? rows[0];
  const found = mistakes(chosen, c);
  const list = (items, caption) => grid([{ text: "class", left: true }, "group", "images"],
    items.slice(0, 8).map(([other, n]) => [classLink(classes.names[other]), classes.groups[other], fixed(n, 1)]), caption);
  return h("div", { id: "class-mistakes" },
    choice("Mistakes of", "class-confused", rows.map((row) => [row.label, row.text]), chosen.label,
      (label) => { state.confused = label; drawClass(); }),
    found.to.length ? list(found.to, "Its images are taken for (a run)") : h("p", {}, "All its images are right."),
    found.from.length ? list(found.from, "Images of others taken for it (a run)") : null);
}
