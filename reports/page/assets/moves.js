// Where images move between two rows, and where the images of a group go.

/** Numbers of images by what becomes of them from B to A, the mean over pairs of runs. */
function movesOf(table, a, b) {
  const classes = classesOf(table);
  const pairs = pairedRuns(a, b)
    .map(([one, other]) => [predictionsOf(one), predictionsOf(other)])
    .filter(([one, other]) => one && other && one.labels.length === other.labels.length);
  if (!pairs.length) return null;
  const whole = pairs.every(([one, other]) => one.top && other.top);
  const groups = Object.fromEntries(GROUPS.map((group) => [group, { both: 0, gained: 0, lost: 0, neither: 0 }]));
  const flows = new Map();
  for (const [one, other] of pairs) {
    one.labels.forEach((label, i) => {
      const kind = one.right[i] ? (other.right[i] ? "both" : "gained") : other.right[i] ? "lost" : "neither";
      groups[classes.groups[label]][kind] += 1 / pairs.length;
      if (whole && one.top[i] !== other.top[i]) {
        const key = `${label} ${other.top[i]} ${one.top[i]}`;
        flows.set(key, (flows.get(key) ?? 0) + 1 / pairs.length);
      }
    });
  }
  const moved = [...flows].map(([key, images]) => {
    const [label, from, to] = key.split(" ").map(Number);
    return { label, from, to, images };
  });
  return { groups, moved: whole ? moved : null, pairs: pairs.length };
}

function movedImages(table, a, b) {
  const head = h("h3", {}, "What moved from where");
  const moves = table.task === "single" ? movesOf(table, a, b) : null;
  if (!moves) return [head, h("p", { class: "soft" }, noPredictions(table))];
  const classes = classesOf(table);
  const counted = region("Images by group", h("div", { id: "moved" }, grid(
    [{ text: "images of", left: true }, "right in both", "right in A only", "right in B only", "wrong in both"],
    GROUPS.filter((group) => classes.groups.includes(group)).map((group) => {
      const { both, gained, lost, neither } = moves.groups[group];
      return [`${group} classes`, ...[both, gained, lost, neither].map((n) => fixed(n, 1))];
    }), `Test images, the mean over ${moves.pairs === 1 ? "one pair" : `${moves.pairs} pairs`} of runs`)));
  if (!moves.moved) {
    return [head, counted, h("p", { class: "soft" }, "The predicted classes were not kept, only whether they are right.")];
  }
  const largest = (chosen, caption) => {
    const items = moves.moved.filter(chosen).sort((x, y) => y.images - x.images || x.label - y.label).slice(0, 12);
    return items.length ? region(caption, grid(
      [{ text: "images of", left: true }, { text: "B says", left: true }, { text: "A says", left: true }, "images"],
      items.map(({ label, from, to, images }) => [
        ...[label, from, to].map((c) => classLink(classes.names[c])), fixed(images, 1)]), caption)) : null;
  };
  return [head, counted, h("div", { class: "columns" },
    largest(({ label, to }) => label === to, "Right in A, wrong in B"),
    largest(({ label, from }) => label === from, "Right in B, wrong in A"),
    later("Wrong in both, in other ways", () =>
      largest(({ label, from, to }) => label !== from && label !== to, "Wrong in both") ?? h("p", {}, "None.")))];
}

function noPredictions(table) {
  if (table.task !== "single") return "Multi-label data have no predicted class.";
  if (DATA.leftOut) return `The predictions of ${DATA.leftOut} runs are left out to keep this file small.`;
  return "The predictions of these runs are not in the folder.";
}

/** Predictions of the runs of a row whose predicted classes are kept. */
const classified = (row) => doneOf(row).map(predictionsOf).filter((run) => run?.top);

/** Where images of a group go in a row: shares of right, and of wrong by the predicted group. */
function destinations(table, row, group) {
  const classes = classesOf(table);
  const runs = classified(row);
  const found = { right: 0, many: 0, medium: 0, few: 0 };
  let images = 0;
  for (const { labels, right, top } of runs) {
    labels.forEach((label, i) => {
      if (classes.groups[label] !== group) return;
      images += 1;
      found[right[i] ? "right" : classes.groups[top[i]]] += 1;
    });
  }
  if (!images) return null;
  return Object.fromEntries(Object.entries(found).map(([to, n]) => [to, (100 * n) / images]));
}

/** Mistakes of a row on one class: classes that its images go to, and classes that come to it. */
function mistakes(row, c) {
  const runs = classified(row);
  const [to, from] = [new Map(), new Map()];
  for (const { labels, right, top } of runs) {
    labels.forEach((label, i) => {
      if (right[i]) return;
      if (label === c) to.set(top[i], (to.get(top[i]) ?? 0) + 1 / runs.length);
      if (top[i] === c) from.set(label, (from.get(label) ?? 0) + 1 / runs.length);
    });
  }
  const sorted = (map) => [...map].sort((x, y) => y[1] - x[1] || x[0] - y[0]);
  return runs.length ? { to: sorted(to), from: sorted(from) } : null;
}

/** Precision and F1 of a class in percent, the images of all runs together, as `report --per-class` has them. */
function precisionAndF1(row, c) {
  let [hits, given, labelled] = [0, 0, 0];
  for (const { labels, right, top } of classified(row)) {
    labels.forEach((label, i) => {
      labelled += label === c;
      given += top[i] === c;
      hits += right[i] && label === c;
    });
  }
  return [given ? (100 * hits) / given : NaN, labelled ? (200 * hits) / (given + labelled) : NaN];
}
