// A word as the tokens that say it at a step, as Python cuts it there.
import { visible } from "../dom.js";
import { Refusal } from "./files.js";

const LETTER = /[\p{L}\p{N}]/u;
const WIDE = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff01-\uff60]/u;
const inside = (text) => LETTER.test(text ?? "");

/**
 * @param {import("./tokens.js").Vocabulary} vocabulary of the target
 * @param {any} document of the run whose step says another word
 * @param {number} step counted from 0
 * @param {string} word or the name of a token
 * @returns {number[]}
 */
export function idsOf(vocabulary, document, step, word) {
  if (!word.trim()) throw new Refusal("The word to say is blank: type one.");
  const known = [...vocabulary.names].find(([, name]) => name === word)?.[0];
  if (known !== undefined && textOf(vocabulary, known) !== word) return [known];
  const candidate = document.steps[step].candidates.find(({ text }) => text.trim() === word);
  if (candidate) return [candidate.id];
  const pieces = document.target.tokens.map(({ text }) => text);
  const before = pieces.slice(0, step).join("");
  const text = before + space(before, pieces[step], word) + word;
  const ids = plain(vocabulary, text);
  const spans = vocabulary.spans(text, ids);
  const end = [...before].length;
  const across = spans.some(([start, stop]) => start < end && end < stop); // a token of parts of both
  const found = !across ? ids.filter((_, index) => spans[index][0] >= end) : known !== undefined ? [known] : plain(vocabulary, word);
  if (!found.length || found.includes(vocabulary.about.unknown)) throw new Refusal(`“${visible(word)}” cannot be written with the tokens of the target: choose another word.`);
  return found;
}

const plain = (vocabulary, text) => vocabulary.encode(text).filter((id) => !vocabulary.special.has(id));
const textOf = (vocabulary, id) => (vocabulary.special.has(id) ? "" : vocabulary.name(id).text.trim());

/** What separates a word from the text before it: a space, if one is written. */
function space(before, replaced, word) {
  const [last] = [...before].slice(-1);
  const [first] = [...word];
  if (!before || /\s/u.test(last) || /\s/u.test(first) || !inside(word)) return "";
  if (inside(last) && inside([...replaced][0])) return ""; // the step goes on with a word
  return WIDE.test(last + first) ? "" : " ";
}
