// The data of the page: shared values looked up, arrays unpacked when they are first needed.

const GROUPS = ["many", "medium", "few"];
let DATA = null;
let unpackedArrays = new WeakMap();

function setData(data) {
  DATA = data;
  unpackedArrays = new WeakMap();
}

/** The value that `make` returns for an object, computed once for each name. */
function once(object, name, make) {
  if (!unpackedArrays.has(object)) unpackedArrays.set(object, new Map());
  const known = unpackedArrays.get(object);
  if (!known.has(name)) known.set(name, make());
  return known.get(name);
}

const pooled = (index) => DATA.pool[index];

function bytes(text) {
  const raw = atob(text);
  const found = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
  return found;
}

const doneOf = (row) => row.done.map((place) => DATA.records[place]);
const failedOf = (row) => row.failed.map((place) => DATA.records[place]);
/** The identity of a table; its printed title may be another. */
const keyOf = (table) => JSON.stringify([table.dataset, table.backbone]);

/** Names, training images and groups of a table's classes; null without a finished run. */
function classesOf(table) {
  const first = table.rows.flatMap(doneOf)[0];
  return first ? pooled(first.classes) : null;
}

const descriptionsOf = (table) => (table.descriptions === undefined ? [] : pooled(table.descriptions));

/** Class indices from the most training images to the fewest, groups kept together. */
function headFirst(classes) {
  return once(classes, "head first", () => {
    const place = (i) => GROUPS.indexOf(classes.groups[i]);
    return classes.names
      .map((_, i) => i)
      .sort((i, j) => place(i) - place(j) || classes.counts[j] - classes.counts[i] || i - j);
  });
}

/** Values of a run by class; NaN for a class without test images. */
function valuesOf(record) {
  return once(record, "by class", () => new Float32Array(bytes(record.byClass).buffer));
}

/** Values of a row by class, the mean over its runs; those with other classes are left out. */
function rowValues(table, row) {
  return once(row, "by class", () => {
    const { names } = classesOf(table);
    const runs = doneOf(row).filter((record) => valuesOf(record).length === names.length).map(valuesOf);
    return names.map((_, c) => meanOfPresent(runs.map((run) => run[c])));
  });
}

/** Test images by class of the runs of a table; null if no run has predictions. */
function testImages(table) {
  const known = table.rows.flatMap(doneOf).find((record) => record.images !== undefined);
  return known ? imagesOf(known).counts : null;
}

function imagesOf(record) {
  return once(record, "images", () => {
    const counts = new Uint32Array(bytes(DATA.images[record.images]).buffer);
    const labels = new Uint16Array(counts.reduce((sum, n) => sum + n, 0));
    let at = 0;
    counts.forEach((n, c) => labels.fill(c, at, (at += n)));
    return { counts, labels };
  });
}

/** Whether a run is right on each image, and the class it predicts (null if that was not kept). */
function predictionsOf(record) {
  if (record.images === undefined) return null;
  return once(record, "predictions", () => {
    const { labels } = imagesOf(record);
    const packed = bytes(record.right);
    const right = Uint8Array.from(labels, (_, i) => (packed[i >> 3] >> (i & 7)) & 1);
    if (record.wrong === undefined) return { labels, right, top: null };
    const raw = bytes(record.wrong);
    const wrong = pooled(record.classes).names.length <= 256 ? raw : new Uint16Array(raw.buffer);
    let at = 0;
    return { labels, right, top: Uint16Array.from(labels, (c, i) => (right[i] ? c : wrong[at++])) };
  });
}

/** Weights of the classes in the metrics that are compared; those of an empty group are not there. */
const weightsFor = (record) =>
  once(record, "weights", () => Object.fromEntries(
    Object.entries(DATA.weights[record.weights]).map(([key, text]) => [key, new Float64Array(bytes(text).buffer)])));

/** Images, mean confidence and accuracy in percent of the filled bins of a group, from all runs of a
 * row; empty if one has no probabilities. */
function reliability(row, group) {
  const runs = doneOf(row).map((record) => record.bins && once(record, "bins", () => new Float32Array(bytes(record.bins).buffer)));
  if (!runs.length || runs.includes(undefined)) return [];
  const size = runs[0].length / GROUPS.length;
  const sums = new Float64Array(size);
  for (const run of runs) for (let i = 0; i < size; i++) sums[i] += run[GROUPS.indexOf(group) * size + i];
  const found = [];
  for (let i = 0; i < size; i += 3) {
    const [images, confidence, right] = sums.subarray(i, i + 3);
    if (images) found.push({ images, confidence: (100 * confidence) / images, accuracy: (100 * right) / images });
  }
  return found;
}

/** Pairs of runs that share their seeds; one run of a deterministic method goes with every seed. */
function pairedRuns(a, b) {
  const fixed = (record) => pooled(record.facts).deterministic;
  return doneOf(a).flatMap((one) =>
    doneOf(b)
      .filter((other) => one.split === other.split && (one.seed === other.seed || fixed(one) || fixed(other)))
      .map((other) => [one, other]));
}
