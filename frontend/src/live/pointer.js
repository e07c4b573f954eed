// What a pointer did: words that were copied from the source, and what of each probability was written.
import { logSoftmax } from "./numbers.js";

/**
 * The words outside the vocabulary that a source has, and its tokens with the numbers of these words.
 * @param {{slots: number, first: number}} about how many words get a number, and the first of them
 * @param {import("./tokens.js").Vocabulary} vocabulary
 * @param {string} text
 * @param {number[]} ids
 */
export function extended({ slots, first }, vocabulary, text, ids) {
  const characters = [...text];
  const spans = vocabulary.spans(text, ids);
  const words = [];
  const made = ids.map((id, index) => {
    const [start, end] = spans[index] ?? [0, 0];
    if (id !== vocabulary.about.unknown || start === end) return id;
    const word = characters.slice(start, end).join("").trim();
    if (!words.includes(word) && words.length < slots) words.push(word);
    return words.includes(word) ? first + words.indexOf(word) : id;
  });
  return { ids: made, words };
}

/**
 * Lets each step of the document say what its pointer did.
 * @param {any} document
 * @param {Record<string, import("../run.js").Tensor>} arrays
 * @param {ArrayLike<number>[]} written the logits of the output layer at each step
 */
export function tellPointer(document, arrays, written) {
  const places = document.source.tokens;
  document.steps.forEach((step, index) => {
    const logits = written[index];
    const { logs, logsumexp } = logSoftmax(logits);
    const weights = arrays["pointer.weights"].row(index);
    step.pointer = { p_gen: 1 / (1 + Math.exp(-arrays["pointer.gate"].data[index])), logsumexp };
    for (const shown of [step.choice, ...step.candidates]) {
      const known = shown.id < logits.length;
      shown.pointer = {
        logit: known ? logits[shown.id] : null,
        written: known ? Math.exp(logs[shown.id]) : 0,
        copied: places.reduce((sum, { id }, place) => sum + (id === shown.id ? weights[place] : 0), 0),
      };
    }
  });
}
