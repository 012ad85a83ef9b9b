// Every run: its state, provenance, configuration, notes, and its error if it failed.

const labelsOfRuns = () => once(DATA, "labels of runs", () => {
  const found = new Map();
  for (const table of DATA.tables) {
    for (const row of table.rows) [...row.done, ...row.failed].forEach((place) => found.set(place, row.text));
  }
  return found;
});

function drawRuns() {
  const part = document.getElementById("runs");
  const failed = DATA.records.filter((record) => record.status === "failed");
  const search = h("input", {
    type: "search", id: "run-search", value: state.runs, placeholder: "method, data set, seed, key",
    oninput: () => {
      state.runs = search.value;
      document.getElementById("runs-shown").textContent = runsShown();
      document.getElementById("run-list").replaceChildren(...runItems());
    },
  });
  fill(part,
    failed.length ? [h("h3", {}, `${failed.length} failed`), failures(failed)] : null,
    h("div", { class: "controls" }, field("Filter runs", search)),
    h("p", { class: "soft", role: "status", id: "runs-shown" }, runsShown()),
    h("div", { id: "run-list" }, runItems()));
}

/** Failed runs by their reason. */
function failures(records) {
  const reasons = new Map();
  for (const record of records) {
    const reason = record.error ?? "no reason given";
    reasons.set(reason, [...(reasons.get(reason) ?? []), record]);
  }
  return h("ul", { class: "notes", id: "failures" }, [...reasons].map(([reason, same]) =>
    h("li", {}, bdi(same.slice(0, 6).map(runTitle).join("; ") + (same.length > 6 ? `; and ${same.length - 6} more` : "")), h("pre", {}, reason))));
}

function runTitle(record) {
  const { dataset, backbone, deterministic } = pooled(record.facts);
  const label = labelsOfRuns().get(DATA.records.indexOf(record)) ?? record.method;
  const seed = deterministic ? "" : ` · seed ${record.seed}`;
  return `${label} · ${dataset} / ${backbone}${seed}${record.split ? ` · split seed ${record.split}` : ""}`;
}

const RUNS_SHOWN = 200;

/** The runs that pass the filter, with their titles. */
function foundRuns() {
  const words = state.runs.toLowerCase().split(/\s+/).filter(Boolean);
  return DATA.records
    .map((record) => ({ record, title: runTitle(record) }))
    .filter(({ record, title }) => words.every((one) => `${title} ${record.status} ${record.key}`.toLowerCase().includes(one)))
    .sort((x, y) => x.title.localeCompare(y.title, "en", { numeric: true }));
}

function runsShown() {
  const found = foundRuns().length;
  const more = found > RUNS_SHOWN ? `, the first ${RUNS_SHOWN} are listed` : "";
  return `${found} of ${counted(DATA.records.length, "run")}${more}`;
}

const runItems = () => foundRuns().slice(0, RUNS_SHOWN).map(({ record, title }) =>
  later(runHead(record, title), () => runDetails(record), { id: `run-${record.key}` }));

function runHead(record, title) {
  const result = record.metrics ? ` ${percent(record.metrics.overall)} %` : "";
  const badge = record.status === "done" ? null : h("span", { class: record.status === "failed" ? "badge failed" : "badge" }, record.status.replace("_", " "));
  return [bdi(title), h("span", { class: "soft" }, result), badge];
}

function runDetails(record) {
  const shared = pooled(record.facts);
  const provenance = record.provenance === undefined ? {} : pooled(record.provenance);
  const tuning = record.tuning === undefined ? null : pooled(record.tuning);
  const selection = record.selection === undefined ? null : pooled(record.selection);
  const classes = record.classes === undefined ? null : pooled(record.classes);
  const part = (title, pairs) => [h("h3", {}, title), facts(pairs)];
  const all = (object, skip = []) => Object.entries(object ?? {}).filter(([name]) => !skip.includes(name)).map(([name, value]) => [name, value === null ? "none" : word(value)]);
  return [
    record.error ? h("pre", {}, record.error) : null,
    record.notes.length ? [h("h3", {}, "Notes"), notes(record.notes.map(pooled))] : null,
    shared.remark ? h("p", {}, bdi(shared.remark)) : null,
    record.metrics ? part("Results", Object.entries(record.metrics).map(([name, value]) => [name, missing(value) ? NONE : fixed(value, 2)])) : null,
    part("Configuration", all(pooled(record.config))),
    tuning ? part("Recipe", all(tuning)) : null,
    part("Data", [["data set", shared.dataset], ["version", shared.dataset_version], ["long-tail draw", shared.recipe],
      ["split seed", `${record.split}`], ["group rule", classes?.rule], ...all(pooled(record.knobs))]),
    part("Protocol", [["protocol", shared.protocol], ["precision", shared.precision], ["evaluation transform", shared.transform],
      ["epoch reported", selection ? `${selection.rule} (${selection.source})` : null]]),
    record.cost ? part("Cost", all(record.cost)) : null,
    part("Provenance", [["key", record.key], ["backbone", shared.backbone], ...all(provenance, ["versions"]),
      ["versions", Object.entries(provenance.versions ?? {}).map(([name, version]) => `${name} ${version}`).join(", ")],
      ["started", record.times?.[0]], ["finished", record.times?.[1]]]),
  ].flat(2);
}
