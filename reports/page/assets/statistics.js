// Paired differences with intervals, by the formulas of reports/compare: Python's results are tests
// of these. Every metric is a weighted sum of class accuracies; the strata are the classes.

const LEVEL = 0.05;
const SMALLEST = 1e-100;

/** The logarithm of the gamma function (Lanczos). */
function logGamma(x) {
  const g = [676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
             12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];
  const base = g.reduce((sum, value, i) => sum + value / (x + i), 0.99999999999980993);
  const t = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(base);
}

/** The regularized incomplete beta function by its continued fraction (Lentz). */
function beta(x, a, b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - beta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
  let [c, d] = [1, 1 - ((a + b) * x) / (a + 1)];
  d = 1 / (Math.abs(d) < 1e-300 ? 1e-300 : d);
  let h = d;
  for (let m = 1; m < 500; m++) {
    for (const n of [(m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)),
                     (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))]) {
      d = 1 + n * d;
      d = 1 / (Math.abs(d) < 1e-300 ? 1e-300 : d);
      c = 1 + n / c;
      if (Math.abs(c) < 1e-300) c = 1e-300;
      h *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return front * h;
}

/** Half-width, in standard errors, of a two-sided interval by Student's t distribution. */
function tQuantile(freedom, level) {
  // The probability beyond t on either side; t is found by halving on a logarithmic scale.
  const outside = (t) => beta(1 / (1 + (t / Math.sqrt(freedom)) ** 2), freedom / 2, 0.5);
  let [low, high] = [-30, 350];
  for (let i = 0; i < 200 && high - low > 1e-14 * Math.abs(high); i++) {
    const middle = (low + high) / 2;
    if (outside(Math.exp(middle)) > level) low = middle; else high = middle;
  }
  return Math.exp((low + high) / 2);
}

/** Calls `visit(first, size)` for the images of each class that has some; they are contiguous. */
function eachStratum(counts, visit) {
  let first = 0;
  for (const size of counts) {
    if (size) visit(first, size);
    first += size;
  }
}

/** The sum over classes of the means of what their images contribute. */
function totalOf(parts, counts) {
  let total = 0;
  eachStratum(counts, (first, size) => {
    let sum = 0;
    for (let i = first; i < first + size; i++) sum += parts[i];
    total += sum / size;
  });
  return total;
}

/** Sums of squares and freedom of the strata, and the sum of fourth powers. */
function squaresOf(parts, counts) {
  const [strata, alone] = [[], []];
  let fourth = 0;
  eachStratum(counts, (first, size) => {
    if (size === 1) {
      alone.push(parts[first]);
      return;
    }
    let sum = 0;
    for (let i = first; i < first + size; i++) sum += parts[i];
    let squares = 0;
    for (let i = first; i < first + size; i++) {
      const share = ((parts[i] - sum / size) / size) ** 2;
      squares += share;
      fourth += share ** 2;
    }
    strata.push([squares, size - 1]);
  });
  if (alone.length) { // classes of one image share a stratum
    const middle = alone.length > 1 ? mean(alone) : 0;
    fourth += alone.reduce((sum, value) => sum + (value - middle) ** 4, 0);
    strata.push([alone.reduce((sum, value) => sum + (value - middle) ** 2, 0), Math.max(alone.length - 1, 1)]);
  }
  return { strata, fourth };
}

const varianceOf = ({ strata }) => strata.reduce((sum, [squares, freedom]) => sum + (squares * (freedom + 1)) / freedom, 0);

/** The variance due to the choice of images, and its freedom; one image more is taken to turn. */
function imagesComponent(parts, counts, weights) {
  const found = squaresOf(parts, counts);
  let [number, second, fourth] = [0, 0, 0];
  counts.forEach((size, c) => {
    if (!size || !(weights[c] > 0)) return;
    const share = (100 * weights[c]) / size;
    number += size;
    second += size * share ** 2;
    fourth += size * share ** 4;
  });
  if (number) [second, fourth] = [second / number, fourth / number];
  const variance = varianceOf(found) + second;
  if (variance === 0) return { variance: 0, freedom: 1 };
  const squares = found.strata.reduce((sum, [s]) => sum + s, 0);
  const byMoments = (2 * (squares + second) ** 2) / (found.fourth + fourth);
  const spread = found.strata.reduce((sum, [s, f]) => sum + ((s * (f + 1)) / f) ** 2 / f, 0);
  const satterthwaite = spread ? variance ** 2 / spread : Infinity;
  return { variance, freedom: Math.max(Math.min(satterthwaite, byMoments), 1) };
}

/** Half the width of an interval that misses the truth with probability `level`. */
function halfWidth({ images, runs, noise }, level) {
  const half = tQuantile(images.freedom, level) * Math.sqrt(images.variance);
  if (!runs) return half;
  const quantile = tQuantile(runs.freedom, level);
  let explained = (Math.min(noise, runs.variance) * (runs.freedom - 1)) / runs.freedom;
  if (level < LEVEL) explained *= tQuantile(runs.freedom, LEVEL) / quantile;
  return Math.hypot(half, quantile * Math.sqrt(runs.variance - explained));
}

/** The two-sided p-value of no difference: the level at which the interval touches 0. */
function pValue(interval) {
  const distance = Math.abs(interval.difference);
  if (distance === 0) return 1;
  const widest = halfWidth(interval, SMALLEST);
  if (widest <= distance) return widest ? SMALLEST : 0;
  let [low, high] = [Math.log(SMALLEST), 0];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (halfWidth(interval, Math.exp(middle)) > distance) low = middle; else high = middle;
  }
  const p = Math.exp((low + high) / 2);
  const zeroInside = interval.low <= 0 && interval.high >= 0;
  return zeroInside ? Math.max(p, LEVEL) : Math.min(p, LEVEL * (1 - 1e-15));
}

/** Pairs of runs by the unit that varies: runs of a single split, or splits. */
function pairedUnits(a, b) {
  const pairs = pairedRuns(a, b);
  const splits = [...new Set(pairs.map(([one]) => one.split))].sort((x, y) => x - y);
  return splits.length > 1 ? splits.map((split) => pairs.filter(([one]) => one.split === split)) : pairs.map((pair) => [pair]);
}

/** The difference of two rows in one metric; null for an empty group. */
function pairedInterval(units, key) {
  const { counts, labels } = imagesOf(units[0][0][0]);
  const weightsOf = (record) => weightsFor(record)[key];
  if (units.flat(2).some((record) => !weightsOf(record))) return null;
  const side = (unit, place) => {
    const parts = new Float64Array(labels.length);
    for (const pair of unit) {
      const weights = weightsOf(pair[place]);
      const { right } = predictionsOf(pair[place]);
      for (let i = 0; i < parts.length; i++) if (right[i]) parts[i] += (100 * weights[labels[i]]) / unit.length;
    }
    return parts;
  };
  const sides = units.map((unit) => [side(unit, 0), side(unit, 1)]);
  const differences = sides.map(([one, other]) => one.map((value, i) => value - other[i]));
  const number = units.length;
  const middle = new Float64Array(labels.length);
  for (const run of differences) run.forEach((value, i) => { middle[i] += value / number; });
  const totals = differences.map((run) => totalOf(run, counts));
  const interval = {
    a: mean(sides.map(([one]) => totalOf(one, counts))),
    b: mean(sides.map(([, other]) => totalOf(other, counts))),
    difference: totalOf(middle, counts),
    images: imagesComponent(middle, counts, weightsOf(units[0][0][0])),
    runs: null, noise: 0, units: totals,
  };
  if (number > 1) {
    interval.runs = { variance: deviation(totals) ** 2 / number, freedom: number - 1 };
    const own = differences.map((run) => varianceOf(squaresOf(run.map((value, i) => value - middle[i]), counts)));
    interval.noise = own.reduce((sum, value) => sum + value, 0) / (number * (number - 1));
  }
  const half = halfWidth(interval, LEVEL);
  return { ...interval, low: interval.difference - half, high: interval.difference + half };
}
