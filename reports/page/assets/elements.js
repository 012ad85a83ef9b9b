// Elements. Texts become text nodes: nothing in the data is ever read as markup.

/** An element with properties, listeners (`onclick`) and children; null children are left out. */
function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && !name.startsWith("aria") && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return element;
}

/** An SVG element. */
function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return element;
}

/** A text of the data, whose own direction moves nothing beside it; only long words are broken. */
const bdi = (text) => h("bdi", { class: /\S{30}/.test(text) ? "long" : null }, `${text}`);

const region = (label, ...children) =>
  h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": label }, ...children);

const notes = (lines) =>
  lines.length ? h("ul", { class: "notes" }, lines.map((line) => h("li", {}, bdi(line)))) : null;

const option = (value, text, selected) => h("option", { value, selected }, text);

/** A labelled choice. `options` are pairs of value and text. */
function choice(label, id, options, value, choose) {
  const select = h("select", { id, onchange: () => choose(select.value) },
    options.map(([key, text]) => option(key, text, `${key}` === `${value}`)));
  return field(label, select);
}

/** A control, which has an id, below its label. */
const field = (label, control) => h("div", { class: "field" }, h("label", { htmlFor: control.id }, label), control);

const facts = (pairs) =>
  h("dl", {}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => [h("dt", {}, bdi(name)), h("dd", {}, value instanceof Node ? value : bdi(value))]));

const word = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** A table of cells: a head is a text, or {text, left}; a cell is a text or a node. */
function grid(heads, rows, caption = null) {
  const left = heads.map((head) => head.left === true);
  const cell = (content, i) =>
    left[i]
      ? h(i === 0 ? "th" : "td", { class: "text", scope: i === 0 ? "row" : null }, node(content))
      : h("td", {}, node(content));
  return h("table", {},
    caption ? h("caption", {}, caption) : null,
    h("thead", {}, h("tr", {}, heads.map((head, i) =>
      h("th", { scope: "col", class: left[i] ? "text" : null }, bdi(head.text ?? head))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))));
}

/** A table as it is printed, with its title, caption and notes, and what is drawn below it. */
function printedTable({ title, caption, heads, lines, notes: below }, figure = null) {
  const cell = ([text, marked]) => ({ best: h("b", {}, text), second: h("u", {}, text) }[marked] ?? text);
  return [
    h("h3", {}, bdi(title)),
    caption ? h("p", {}, bdi(caption)) : null,
    region(title, grid(heads.map((text, i) => ({ text, left: i === 0 })), lines.map(([head, ...cells]) => [head, ...cells.map(cell)]))),
    figure,
    notes(below),
  ];
}

const node = (content) => (content instanceof Node ? content : bdi(content));

/** Details whose content is made when they are first opened. */
function later(title, make, properties = {}) {
  const open = document.getElementById(properties.id)?.open ?? false; // that of the one it replaces
  const box = h("details", { open, ...properties }, h("summary", {}, title));
  const fill = () => {
    if (box.open && box.childElementCount === 1) box.append(...[make()].flat().filter(Boolean));
  };
  box.addEventListener("toggle", fill);
  fill();
  return box;
}

/** Replace the content of a part behind its heading; the focused control keeps the focus. */
function fill(part, ...children) {
  keepingFocus(() => {
    const heading = part.firstElementChild;
    part.replaceChildren(heading, ...children.flat(3).filter((child) => child !== null && child !== undefined));
  });
}

function keepingFocus(change) {
  const before = document.activeElement?.id;
  const end = document.activeElement?.selectionEnd;
  change();
  const after = before ? document.getElementById(before) : null;
  if (after && after !== document.activeElement) {
    after.focus({ preventScroll: true });
    if (typeof end === "number" && after.setSelectionRange && after.type === "search") after.setSelectionRange(end, end);
  }
}
