"use strict";
// Numbers as the other formats of a report print them.

const NONE = "–";

/** A number with fixed decimals. Python rounds an exact tie to the even digit, `toFixed` does not. */
function fixed(value, digits) {
  const scaled = value * 2 ** (digits + 1);
  if (Number.isInteger(scaled) && scaled % 2 !== 0) {
    const below = Math.floor(value * 10 ** digits);
    return ((below % 2 === 0 ? below : below + 1) / 10 ** digits).toFixed(digits);
  }
  return value.toFixed(digits);
}

const missing = (value) => value === null || value === undefined || Number.isNaN(value);

/** A percentage with one decimal. */
const percent = (value) => (missing(value) ? NONE : fixed(value, 1));

/** A difference with two decimals and a sign; none if it rounds to zero. */
function signed(value, digits = 2) {
  if (missing(value)) return NONE;
  const text = fixed(Math.abs(value), digits);
  if (Number(text) === 0) return text;
  return (value > 0 ? "+" : "−") + text;
}

/** A whole number with commas between thousands. */
const whole = (value) => (missing(value) ? NONE : Math.round(value).toLocaleString("en"));

/** `1 run`, `2 runs`. */
const counted = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The mean of the values that are there; NaN if none is. */
function meanOfPresent(values) {
  const present = values.filter((value) => !missing(value));
  return present.length ? mean(present) : NaN;
}

/** The sample standard deviation; NaN for fewer than two values. */
function deviation(values) {
  if (values.length < 2) return NaN;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, v) => sum + (v - middle) ** 2, 0) / (values.length - 1));
}

/** P-values with Holm's correction for all of them together. */
function holm(values) {
  const order = values.map((_, i) => i).sort((i, j) => values[i] - values[j]);
  const adjusted = [];
  let highest = 0;
  order.forEach((index, place) => {
    highest = Math.max(highest, Math.min(1, (values.length - place) * values[index]));
    adjusted[index] = highest;
  });
  return adjusted;
}

/** Round numbers for an axis, about `count` of them between two ends. */
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1) || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * ([1, 2, 5].find((times) => times * size >= rough) ?? 10);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found.map((value) => Number(value.toPrecision(12)));
}

/** Powers of ten, and their doubles and fives if these are few, between two ends above 0. */
function logTicks(low, high) {
  const found = [];
  const decades = Math.log10(high / low);
  const times = decades > 4 ? [1] : decades > 2 ? [1, 3] : [1, 2, 5];
  for (let e = Math.floor(Math.log10(low)); 10 ** e <= high; e++) {
    for (const t of times) if (t * 10 ** e >= low && t * 10 ** e <= high) found.push(t * 10 ** e);
  }
  return found;
}

/** A number in a few characters: 1.2M, 51k, 0.5. */
function brief(value) {
  for (const [unit, size] of [["B", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (value >= size) return `${Number((value / size).toPrecision(3))}${unit}`;
  }
  return `${Number(value.toPrecision(3))}`;
}
