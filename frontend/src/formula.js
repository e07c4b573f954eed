// Formulas as they come from the chapters, `s_(t-1)` and `W^Q`, set with true subscripts and superscripts.
import { h } from "./dom.js";

const MARK = /([_^])(?:\(([^()]*)\)|(<?[\p{L}\p{N}']+))/gu;

// In sentences, names such as max_new_tokens are left alone.
const SHORT_MARK = /(?<=(?<!\p{L})\p{L}{1,2}(?:_\p{L})?)([_^])(?:\(([^()]*)\)|(<?[\p{L}\p{N}']+))/gu;

/** One line for each formula of a list divided by semicolons outside brackets. */
export function formulas(text) {
  const lines = [""];
  let depth = 0;
  for (const character of text) {
    if ("([".includes(character)) depth++;
    if (")]".includes(character)) depth--;
    if (character === ";" && depth === 0) lines.push("");
    else lines[lines.length - 1] += character;
  }
  return h("div.formulas", {}, lines.map((line) => h("p.formula", {}, typeset(line.trim()))));
}

/**
 * A sentence: symbols set as in formulas, and what stands in straight quotes in true ones and apart from the rest, for it
 * may be written from right to left.
 */
export const prose = (text) =>
  text.split(/"([^"\n]*)"/).map((part, index) => (index % 2 ? ["“", h("bdi", {}, part), "”"] : typeset(part, SHORT_MARK, String)));

export function typeset(text, marks = MARK, signs = symbols) {
  const parts = [];
  let end = 0;
  for (const mark of text.matchAll(marks)) {
    parts.push(signs(text.slice(end, mark.index)), h(mark[1] === "_" ? "sub" : "sup", {}, signs(mark[2] ?? mark[3])));
    end = mark.index + mark[0].length;
  }
  return [...parts, signs(text.slice(end))];
}

const NAMES = { sigmoid: "σ", sum: "Σ", sqrt: "√", "...": "…", "-": "−", "*": "·", "<": "<" };
const symbols = (text) =>
  text.replace(/\bsigmoid\b/g, NAMES.sigmoid).replace(/\bsum(?=$|\b)/g, NAMES.sum).replace(/\bsqrt/g, NAMES.sqrt)
    .replace(/\.\.\./g, NAMES["..."]).replace(/(^|[\s(\[])-|(?<=\w)-(?=\d)/g, "$1−").replace(/ \. /g, " · ");
