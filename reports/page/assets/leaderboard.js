// The leaderboard: rows of one table or of all, sorted and filtered.

/** The tables that the leaderboard shows. */
const shownTables = () =>
  state.shown === ALL ? DATA.tables : DATA.tables.filter((table) => keyOf(table) === state.shown);

/** Knobs of which the tables of one family of data sets have several values. */
function varyingKnobs(tables) {
  const values = new Map();
  for (const table of tables) {
    const family = table.dataset.split(" (")[0].replace(/_ir[\d.]+$/, "");
    for (const [name, value] of Object.entries(pooled(table.knobs))) {
      const key = JSON.stringify([family, name]);
      values.set(key, (values.get(key) ?? new Set()).add(JSON.stringify(value)));
    }
  }
  return [...new Set([...values].filter(([, found]) => found.size > 1).map(([key]) => JSON.parse(key)[1]))].sort();
}

/** Columns of some tables: knobs, metrics, costs. A metric of two tasks is one column. */
function columnsOf(tables) {
  const found = new Map(varyingKnobs(tables).map((knob) => [`knob-${knob}`, { key: `knob-${knob}`, title: knob, knob, printed: true, higher: false }]));
  for (const table of tables) {
    for (const column of table.columns) {
      const known = found.get(column.key);
      if (!known) found.set(column.key, { ...column });
      else {
        if (!known.title.split(" / ").includes(column.title)) known.title += ` / ${column.title}`;
        if (known.size !== column.size) known.size = "";
        known.printed ||= column.printed;
      }
    }
  }
  return [...found.values()];
}

const chosenColumns = (columns) =>
  columns.filter((c) => (state.columns ? state.columns.has(c.key) : c.printed));

function valueOf(table, row, column) {
  const value = column.knob ? pooled(table.knobs)[column.knob] : (column.cost ? row.costs : row.values)[column.key]?.[0];
  return missing(value) ? null : value;
}

/** The order in force: several tables are kept apart, the best row of each first. */
function sortNow() {
  const several = shownTables().length > 1;
  if (state.sort && (several || state.sort.key !== "table")) return state.sort;
  if (several) return { key: "table", down: false };
  const [table] = shownTables();
  return table.asked ? { key: "asked", down: false } : { key: table.main, down: true };
}

const compared = (x, y) => (typeof x === "number" && typeof y === "number" ? x - y : `${x}`.localeCompare(`${y}`, "en", { numeric: true }));

/** The rows that pass the filters, in order. */
function boardRows() {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = shownTables().flatMap((table) => table.rows.map((row) => ({ table, row })));
  const kept = found.filter(({ table, row }) => {
    const text = `${row.text} ${row.label} ${row.method} ${table.title} ${table.dataset}`.toLowerCase();
    const fits = { all: true, done: row.done.length > 0, failed: row.failed.length > 0 }[state.status];
    return fits && words.every((one) => text.includes(one));
  });
  const { key, down } = sortNow();
  const column = columnsOf(shownTables()).find((c) => c.key === key);
  const at = {
    asked: ({ table, row }) => table.rows.indexOf(row),
    table: ({ table }) => table.title,
    label: ({ row }) => row.text,
  }[key]
    ?? (({ table, row }) => (column ? valueOf(table, row, column) : null));
  const better = (x, y) => mainOf(y.table, y.row) - mainOf(x.table, x.row);
  return kept
    .map((item) => ({ ...item, at: at(item) }))
    .sort((x, y) => {
      if (x.at === null || y.at === null) return (x.at === null) - (y.at === null) || better(x, y);
      return (down ? -1 : 1) * compared(x.at, y.at) || better(x, y);
    });
}

function drawLeaderboard() {
  const part = document.getElementById("leaderboard");
  if (!DATA.tables.length) {
    fill(part, h("p", {}, "There is no record yet."));
    return;
  }
  const tables = shownTables();
  const all = columnsOf(tables);
  fill(part,
    boardControls(all),
    region("Results", boardTable(tables, all)),
    h("p", { class: "soft", role: "status", id: "rows-shown" }, rowsShown()),
    boardExport(),
    tables.map(tableNotes),
    tables.map((table) => (table.conformal ? printedTable(table.conformal) : null)));
}

/** Draw the rows anew; the controls stay, with what is being typed. */
function refreshBoard() {
  const tables = shownTables();
  keepingFocus(() => document.getElementById("board").replaceWith(boardTable(tables, columnsOf(tables))));
  document.getElementById("rows-shown").textContent = rowsShown();
}

const rowsShown = () => {
  const count = boardRows().length;
  const total = shownTables().reduce((sum, table) => sum + table.rows.length, 0);
  return count === total ? counted(total, "row") : `${count} of ${counted(total, "row")}`;
};

function boardControls(all) {
  const search = h("input", {
    type: "search", id: "search", value: state.search, placeholder: "words of the row",
    oninput: () => { state.search = search.value; refreshBoard(); },
  });
  const sets = [[ALL, `all (${DATA.tables.length})`], ...DATA.tables.map((t) => [keyOf(t), t.title])];
  return [
    h("div", { class: "controls" },
      field("Filter rows", search),
      DATA.tables.length > 1
        ? choice("Data set and backbone", "board-table", sets, state.shown, (key) => {
            state.shown = key;
            if (key === ALL) drawLeaderboard();
            else chooseTable(key);
          })
        : null,
      choice("Rows", "board-status", [["all", "all"], ["done", "with results"], ["failed", "with failed runs"]],
        state.status, (value) => { state.status = value; refreshBoard(); }),
      choice("Beside the mean", "board-beside",
        [["spread", "± over runs"], ["interval", "95 % interval"], ["nothing", "nothing"]],
        state.beside, (value) => { state.beside = value; refreshBoard(); })),
    columnPicker(all),
  ];
}

function columnPicker(all) {
  const before = document.getElementById("columns");
  return h("details", { id: "columns", open: before?.open ?? false },
    h("summary", { id: "columns-summary" }, "Columns"),
    h("fieldset", {}, h("legend", { class: "unseen" }, "Columns"), all.map((column) => {
      const chosen = chosenColumns(all).some((c) => c.key === column.key);
      const box = h("input", {
        type: "checkbox", id: `column-${column.key}`, checked: chosen,
        onchange: () => {
          state.columns ??= new Set(chosenColumns(all).map((c) => c.key));
          if (box.checked) state.columns.add(column.key); else state.columns.delete(column.key);
          refreshBoard();
        },
      });
      return h("label", { class: "check" }, box, column.title);
    })));
}

function boardTable(tables, all) {
  const several = tables.length > 1;
  const columns = chosenColumns(all);
  const rows = boardRows();
  return h("table", { id: "board" },
    h("caption", {}, several ? "All data sets and backbones" : tables[0].title),
    h("thead", {}, h("tr", {},
      several ? sortHead("table", backbones() > 1 ? "data set / backbone" : "data set", "", true) : null,
      sortHead("label", "method", "", true),
      columns.map((column) => sortHead(column.key, column.title, column.size, false)),
      h("th", { scope: "col", class: "pick" }, "compare"))),
    h("tbody", {}, rows.map(({ table, row }) => boardRow(table, row, columns, several))));
}

const backbones = () => new Set(DATA.tables.map((table) => table.backbone)).size;

function sortHead(key, title, size, left) {
  const now = sortNow();
  const active = now.key === key;
  return h("th", {
    scope: "col", class: left ? "text" : null,
    "aria-sort": active ? (now.down ? "descending" : "ascending") : null,
  }, h("button", {
    type: "button", id: `sort-${key}`,
    onclick: () => {
      // The first click shows the best, or the first in the alphabet, on top.
      const best = !left && columnsOf(shownTables()).find((c) => c.key === key)?.higher !== false;
      state.sort = { key, down: active ? !now.down : best };
      refreshBoard();
    },
  }, bdi(title), active ? (now.down ? " ▼" : " ▲") : ""),
  size ? h("span", { class: "size" }, `(${size})`) : null);
}

function boardRow(table, row, columns, several) {
  const now = keyOf(table) === state.table;
  const place = `${DATA.tables.indexOf(table)}-${table.rows.indexOf(row)}`;
  const chosen = ["a", "b"].filter((letter) => now && state[letter] === row.label);
  const pick = (letter) => h("button", {
    type: "button", id: `pick-${letter}-${place}`, "aria-pressed": `${chosen.includes(letter)}`,
    "aria-label": `compare ${row.name} as ${letter.toUpperCase()}`, disabled: !row.done.length,
    onclick: () => choosePair(table, letter, row.label),
  }, letter.toUpperCase());
  return h("tr", { class: chosen.map((letter) => `chosen-${letter}`).join(" ") },
    several ? h("td", { class: "text" }, bdi(backbones() > 1 ? table.title : table.name)) : null,
    h("th", { scope: "row", class: "text" }, bdi(row.text), badge(row)),
    columns.map((column) => h("td", {}, boardCell(table, row, column))),
    h("td", { class: "pick" }, pick("a"), " ", pick("b")));
}

function badge(row) {
  if (!row.failed.length) return null;
  const applies = failedOf(row).some((record) => record.status === "failed");
  if (!applies) return row.done.length ? null : h("span", { class: "badge" }, "not applicable");
  return h("span", { class: "badge failed" }, `${row.failed.length} failed`);
}

/** The mean with its mark, and what the reader wants beside it. */
function boardCell(table, row, column) {
  if (column.knob) return word(valueOf(table, row, column) ?? "");
  if (column.cost) return row.costs[column.key]?.[1] ?? NONE;
  const value = row.values[column.key];
  if (!value || missing(value[0])) return NONE;
  const [average, , , , , mark] = value;
  const shown = h(mark === "best" ? "b" : mark === "second" ? "u" : "span", {}, percent(average));
  const beside = besideMean(value);
  return beside ? [shown, h("span", { class: "spread" }, ` ${beside}`)] : shown;
}

function besideMean([, , , low, high, , spread]) {
  if (state.beside === "interval" && !missing(low)) return `${percent(low)} to ${percent(high)}`;
  return state.beside === "spread" ? spread : "";
}

function tableNotes(table) {
  const lines = [...table.warnings.map((line) => `Warning: ${line}`), ...table.footnotes];
  return h("details", { open: shownTables().length === 1 },
    h("summary", {}, `Caption and notes: ${table.title}`),
    h("p", {}, bdi(table.caption)), notes(lines));
}
