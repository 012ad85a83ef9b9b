// The shown table as CSV, Markdown and LaTeX.

const FORMULA = new Set([..."=+-@\t\r\n＝＋－＠"]);
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

/** A cell of CSV that a spreadsheet program does not compute. */
function csvCell(value) {
  if (missing(value)) return "";
  let text = `${value}`;
  if (typeof value === "string" && FORMULA.has(text.replace(/^ +/, "")[0]) && !NUMBER.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Heads and cells of the shown table: [text, Markdown, LaTeX] of each. */
function exported() {
  const tables = shownTables();
  const columns = chosenColumns(columnsOf(tables));
  const several = tables.length > 1;
  const heads = [...(several ? ["data set / backbone"] : []), "method",
    ...columns.map((c) => (c.size ? `${c.title} (${c.size})` : c.title))];
  const rows = boardRows().map(({ table, row }) => {
    const names = pooled(table.written);
    const label = [row.text, ...names[row.text]];
    const cells = columns.map((column) => writtenCell(table, row, column));
    return [...(several ? [[table.title, ...names[table.title]]] : []), label, ...cells];
  });
  return { tables, columns, several, heads, rows };
}

function writtenCell(table, row, column) {
  if (column.knob) {
    const text = word(valueOf(table, row, column) ?? "");
    return [text, text.replaceAll("|", "\\|"), text.replaceAll(/[^\w.+ -]/g, "?")];
  }
  if (column.cost) {
    const text = row.costs[column.key]?.[1] ?? NONE;
    return [text, text, text.replace(NONE, "--")];
  }
  const value = row.values[column.key];
  if (!value || missing(value[0])) return [NONE, NONE, "--"];
  const mark = value[5];
  const text = [percent(value[0]), besideMean(value)].filter(Boolean).join(" ");
  const tex = text.replace("±", "$\\pm$").replace("–", "--");
  return {
    best: [text, `**${text}**`, `\\textbf{${tex}}`],
    second: [text, `<u>${text}</u>`, `\\underline{${tex}}`],
  }[mark] ?? [text, text, tex];
}

/** One line for each row, unrounded, with deviation and interval of each metric. */
function asCsv() {
  const { columns } = exported();
  const parts = (c) => (c.cost || c.knob ? [""] : ["", " std", " n", " low", " high"]);
  const heads = ["dataset", "backbone", "method", "variant", ...columns.flatMap((c) => parts(c).map((p) => (c.knob ?? c.key) + p))];
  const lines = boardRows().map(({ table, row }) => [
    table.dataset, table.backbone, row.method, row.label,
    ...columns.flatMap((c) => (c.cost || c.knob ? [valueOf(table, row, c)] : (row.values[c.key] ?? [null, null, null, null, null]).slice(0, 5))),
  ]);
  return [heads, ...lines].map((line) => line.map(csvCell).join(",") + "\n").join("");
}

function asMarkdown() {
  const { heads, rows, several } = exported();
  const line = (cells) => `| ${cells.join(" | ")} |\n`;
  const left = several ? 2 : 1;
  return line(heads.map((head) => head.replaceAll("|", "\\|")))
    + line(heads.map((_, i) => (i < left ? ":--" : "--:")))
    + rows.map((row) => line(row.map((cell) => cell[1]))).join("");
}

function asLatex() {
  const { heads, rows, several, tables } = exported();
  const escape = (text) => tables.reduce((found, table) => found ?? pooled(table.written)[text]?.[1], undefined) ?? text;
  const left = several ? 2 : 1;
  const line = (cells) => `${cells.join(" & ")} \\\\\n`;
  return "% Needs \\usepackage{booktabs}.\n"
    + `\\begin{tabular}{@{}${"l".repeat(left)}${"r".repeat(heads.length - left)}@{}}\n\\toprule\n`
    + line(heads.map(escape).map((head) => head.replaceAll("–", "--")))
    + `\\midrule\n${rows.map((row) => line(row.map((cell) => cell[2]))).join("")}`
    + "\\bottomrule\n\\end{tabular}\n";
}

function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function boardExport() {
  const formats = [["CSV", "csv", "text/csv", asCsv], ["Markdown", "md", "text/markdown", asMarkdown],
                   ["LaTeX", "tex", "application/x-tex", asLatex]];
  return h("p", { class: "controls" }, "Save the shown table as ",
    formats.map(([title, ending, type, make]) => h("button", {
      type: "button", id: `save-${ending}`, onclick: () => download(`results.${ending}`, type, make()),
    }, title)));
}
