// What the reader has chosen, by names, so that newer data change no choice.

const ALL = "all";
const state = {
  shown: null, // a data set and backbone, or ALL, in the leaderboard
  table: null, // the one whose rows, classes and figures are shown
  a: null, // label of a row
  b: null,
  cls: null, // name of a class
  confused: null, // label of the row whose mistakes are listed
  search: "",
  status: "all",
  beside: "spread",
  sort: null, // the usual order
  columns: null, // keys; null for those of the printed tables
  lit: new Map(), // key of a table -> labels that stand out in its figures
  runs: "",
};

const tableNow = () => DATA.tables.find((table) => keyOf(table) === state.table) ?? DATA.tables[0] ?? null;
const rowNamed = (table, label) => table?.rows.find((row) => row.label === label) ?? null;
/** The value of a row that sorts its table. */
const mainOf = (table, row) => row.values[table.main][0] ?? -1;

/** The rows with results, the best first. */
const ranked = (table) =>
  table.rows.filter((row) => row.done.length).sort((x, y) => mainOf(table, y) - mainOf(table, x));

/** Fill the gaps in the choices: the best two rows, the first class. */
function settle() {
  const table = tableNow();
  state.table = table ? keyOf(table) : null;
  if (state.shown !== ALL && !DATA.tables.some((t) => keyOf(t) === state.shown)) {
    state.shown = DATA.tables.length > 1 ? ALL : state.table;
  }
  if (!table) return;
  const best = ranked(table);
  if (!rowNamed(table, state.a)) state.a = best.find((row) => row.label !== state.b)?.label ?? null;
  if (!rowNamed(table, state.b) || state.b === state.a) {
    state.b = best.find((row) => row.label !== state.a)?.label ?? null;
  }
  const classes = classesOf(table);
  if (classes && !classes.names.includes(state.cls)) state.cls = classes.names[headFirst(classes)[0]];
  if (!rowNamed(table, state.confused)) state.confused = best[0]?.label ?? null;
}

function chooseTable(key) {
  state.table = key;
  if (state.shown !== ALL) state.shown = key;
  state.a = state.b = state.cls = state.confused = null;
  settle();
  draw();
}

function choosePair(table, letter, label) {
  if (keyOf(table) !== state.table) {
    state.table = keyOf(table);
    state.a = state.b = state.cls = state.confused = null;
  }
  const other = letter === "a" ? "b" : "a";
  if (state[other] === label) state[other] = state[letter];
  state[letter] = label;
  settle();
  draw();
}

function chooseClass(name) {
  state.cls = name;
  drawClass();
}

/** Labels of a table that stand out in figures: those chosen, or the best if there are too many. */
function litOf(table) {
  const key = keyOf(table);
  if (!state.lit.has(key)) {
    const rows = ranked(table);
    state.lit.set(key, new Set((rows.length > 10 ? rows.slice(0, 6) : rows).map((row) => row.label)));
  }
  return state.lit.get(key);
}

/** A choice of the table, the same in every part that shows one. */
function tableChoice(id) {
  if (DATA.tables.length < 2) return null;
  const options = DATA.tables.map((table) => [keyOf(table), table.title]);
  return choice("Data set and backbone", id, options, state.table, chooseTable);
}
