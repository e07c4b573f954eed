// The small drawings that every chapter is made of.
import { exact, fixed, h, number, rounded, s, scientific } from "./dom.js";
import { largest, norm } from "./math.js";

const TOLERANCE = 1e-5;

/** What a drawing of a vector shows, for the reading under the pointer. */
export const vectors = new WeakMap();

/**
 * A vector as bars above and below a line.
 * @param {ArrayLike<number>} values
 * @param {{role?: string, name?: string, max?: number, tall?: boolean, ghost?: ArrayLike<number>}} [options] `role` one
 *   of query, key, value, score, ink; `max` the value that touches the edge (1 for a gate, which then stands on its line); `ghost` a second vector, as an outline
 */
export function wave(values, { role = "ink", name = "vector", max, tall = false, ghost } = {}) {
  const top = max || largest(values) || 1;
  const gate = max === 1 && values.every((value) => value >= 0);
  const drawing = s(
    `svg.wave.role-${role}${tall ? ".tall" : ""}`,
    { viewBox: gate ? `0 -1 ${values.length} 1.02` : `0 -1 ${values.length} 2`, preserveAspectRatio: "none", role: "img", "aria-label": describe(values, name) },
    s("line.axis", { x1: 0, x2: values.length, y1: 0, y2: 0 }),
    s("path.bars", { d: bars(values, top) }),
    ghost && s("path.ghost", { d: outline(ghost, top) }),
  );
  vectors.set(drawing, { values, name });
  return drawing;
}

function bars(values, top) {
  const width = values.length > 160 ? 1 : 0.78;
  let path = "";
  for (let i = 0; i < values.length; i++) {
    const height = Math.max(-1, Math.min(1, values[i] / top));
    path += `M${i} 0h${width}v${(-height).toFixed(3)}h${-width}z`;
  }
  return path;
}

function outline(values, top) {
  let path = "M0 0";
  for (let i = 0; i < values.length; i++) path += `V${(-Math.max(-1, Math.min(1, values[i] / top))).toFixed(3)}h1`;
  return path;
}

const describe = (values, name) =>
  `${name}: ${values.length} numbers from ${number(Math.min(...values), 2)} to ${number(Math.max(...values), 2)}, norm ${number(norm(values), 2)}`;

/** A labelled vector, drawn as deep as the depth asks. */
export function vectorRow(label, values, options, depth) {
  return h(
    "div.vector-row",
    {},
    h("div.vector-label", {}, label),
    h(
      "div.vector-body",
      {},
      wave(values, { ...options, tall: true }),
      depth === "numbers" && h("p.digits", {}, preview(values)),
      depth === "vectors" && grid(values, options.name ?? "vector"),
    ),
  );
}

/** (0.12, −0.33, … 256 numbers) · norm 3.2 */
export function preview(values, count = 6) {
  const first = Array.from(values.slice(0, count), (value) => number(value, 3)).join(", ");
  const rest = values.length > count ? `, … ${values.length} numbers` : "";
  return `(${first}${rest}) · norm ${number(norm(values), 3)}`;
}

/** All numbers of a vector, in a box that scrolls. */
export function grid(values, name) {
  return h(
    "ol.grid",
    { tabindex: 0, role: "list", "aria-label": `All ${values.length} numbers of ${name}, in order`, "data-scroll": `grid ${name}` },
    Array.from(values, (value) => h("li", {}, exact(value))),
  );
}

/** A share from 0 to 1 as a bar. */
export function bar(share, role = "score") {
  return s(
    `svg.bar.role-${role}`,
    { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect.track", { x: 0, y: 0, width: 100, height: 10 }),
    s("rect.bars", { x: 0, y: 0, width: Math.max(0, Math.min(1, share)) * 100, height: 10 }),
  );
}

/** What the page recomputed beside what the trace recorded. */
export function check(what, recomputed, recorded, tolerance = TOLERANCE) {
  return verdict(what, Math.abs(recomputed - recorded), tolerance * Math.max(1, Math.abs(recorded)), [
    h("span", {}, "recomputed here ", h("b", {}, number(recomputed, 6))),
    h("span", {}, "recorded ", h("b", {}, number(recorded, 6))),
  ]);
}

/** The same for many numbers at once: their largest difference. */
export function checkAll(what, difference, count, scale = 1) {
  return verdict(what, difference, TOLERANCE * Math.max(1, scale), [
    h("span", {}, count === 1 ? "1 number recomputed here" : `${count} numbers recomputed here`),
  ]);
}

function verdict(what, difference, tolerance, parts) {
  const good = difference <= tolerance;
  return h(
    `p.check.${good ? "good" : "bad"}`,
    { "data-check": what, "data-difference": difference },
    h("span.mark", { "aria-hidden": "true" }, good ? "✓" : "✗"),
    h("span.what", {}, what),
    parts,
    h("span", {}, parts.length > 1 ? "difference " : "largest difference ", h("b", {}, scientific(difference))),
    !good && h("span", {}, "more than rounding explains"),
  );
}

/** The largest of some numbers by size, and all of them in their order where there are no more than these. */
export const largestFew = (sizes, most) => {
  const order = Array.from(sizes, (_, i) => i);
  return order.length <= most ? order : order.sort((a, b) => Math.abs(sizes[b]) - Math.abs(sizes[a])).slice(0, most);
};

/**
 * A sum of which some terms are shown and the others are one number, so that what is read adds up to the
 * total, which is for the caller to write.
 * @param {[string, number][]} shown the text of each term, and the number that it reads as
 * @param {number} count of all terms
 * @param {string} kind of the terms shown, where they are not all
 * @param {[string, number][]} added to the terms at the end
 */
export function sumText(shown, count, kind, total, added = []) {
  const rest = [...shown, ...added].reduce((left, [, value]) => left - value, rounded(total));
  const others = count - shown.length;
  const parts = [shown.map(([text]) => text).join(" + "), ...added.map(([text]) => text)];
  if (others) parts.splice(1, 0, `${fixed(rest)} (the other ${others})`);
  if (others) parts[0] += ` (the ${shown.length} ${kind} of ${count})`;
  return parts.join(" + ").replaceAll("+ −", "− ");
}

/** A letter of a formula in the colour of its part. */
export const symbol = (text, role) => h(`span.symbol.role-${role}`, {}, text);

/** A sentence where something cannot be shown, with the reason of the trace or of the page. */
export function absent(run, name, what) {
  const why = run.why(name);
  const [noun] = what.split(/ (?:of|behind) /);
  return h("p.absent", {}, `${what} ${noun.endsWith("s") && !noun.endsWith("ss") ? "are" : "is"} not in this page${why ? `: ${why}` : ""}.`);
}

/** A part of a chapter under a heading of its own. */
export const section = (title, note, ...content) =>
  h("section.part", {}, h("h3", {}, title), note && h("p.note", {}, note), ...content);

/** One of several, as buttons side by side. */
export function choice(label, options, chosen, choose, key) {
  return h(
    "div.choice",
    { role: "group", "aria-label": label },
    h("span.choice-label", { "aria-hidden": "true" }, label),
    options.map(([value, text]) =>
      h("button.option", { type: "button", "aria-pressed": String(value === chosen), "data-key": `${key} ${value}`, onclick: () => choose(value) }, text)),
  );
}

/** Rows of a table; the first cell of each row heads it. */
export function table(caption, head, rows, { marked = -1, scroll = "", text = false } = {}) {
  return h(
    "div.table-box",
    scroll ? { tabindex: 0, role: "group", "aria-label": caption, "data-scroll": scroll } : {},
    h(
      "table.numbers",
      { class: text ? "text" : "" },
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, head.map((cell) => (cell === "" ? h("td") : h("th", { scope: "col" }, cell))))),
      h("tbody", {}, rows.map((row, index) =>
        h("tr", { class: index === marked ? "marked" : "" }, row.map((cell, column) =>
          column === 0 ? h("th", { scope: "row" }, cell) : h("td", {}, cell))))),
    ),
  );
}

/** A `details` that stays open while the page is redrawn. */
export function more(app, key, summary, ...content) {
  const open = app.opened.has(key);
  return h(
    "details.more",
    { open, ontoggle: (event) => (event.target.open ? app.opened.add(key) : app.opened.delete(key)) },
    h("summary", { "data-key": `more ${key}` }, summary),
    ...content,
  );
}
