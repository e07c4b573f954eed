// The sentences of a text, as Python splits it (hf_attn_seq2seq/splitting.py): the same library finds them, in WebAssembly.
import start, { segment } from "sentencex-wasm";
import { Refusal } from "./files.js";

/** The compiled library, whose file the page carries where its model reads sentence by sentence. */
export const LIBRARY = "sentences.bin";

// As Python knows them: str.splitlines, str.isspace, str.isalnum, str.isalpha.
const LINE_ENDS = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/u;
const BLANK = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]*";
const TRIMMED = new RegExp(`^${BLANK}([^]*?)${BLANK}$`, "u");
const NO_SIGN = /[\p{L}\p{N}]/u;
const LETTER = /\p{L}/u;

/** @typedef {{ text: string, start: number, end: number }} Sentence with its place in the text */

export const trimmed = (text) => TRIMMED.exec(text)[1];

/** @param {string} text @returns {Sentence} */
export function wholeText(text) {
  if (!trimmed(text)) throw new Refusal("There is no text yet: type a sentence.");
  if (/\p{Cs}/u.test(text)) throw new Refusal("This text holds half a character, which is not valid Unicode: delete it.");
  return { text, start: 0, end: text.length };
}

/**
 * A function that splits texts of a language, such as "fr" or "fr_XX".
 * @param {Uint8Array} library
 * @param {string} own the model's language
 * @returns {Promise<(text: string, language?: string) => Sentence[]>}
 */
export async function makeSplitter(library, own) {
  await start({ module_or_path: await WebAssembly.compile(library) });
  return (text, language = own) => {
    wholeText(text);
    const [code] = language.split(/[_-]/);
    const found = [];
    let end = 0;
    for (const line of text.split(LINE_ENDS).filter(trimmed)) {
      const first = found.length;
      for (const sentence of segment(code, line).map(trimmed).filter(Boolean)) {
        let begin = text.indexOf(sentence, end);
        end = begin + sentence.length;
        // "?" ends what is before it, "2." begins what follows.
        if (found.length > first && (!NO_SIGN.test(sentence) || !LETTER.test(text.slice(...found.at(-1))))) [begin] = found.pop();
        found.push([begin, end]);
      }
      if (found.length > first + 1 && !LETTER.test(text.slice(...found.at(-1)))) found.splice(-2, 2, [found.at(-2)[0], end]);
    }
    return found.map(([from, to]) => ({ text: text.slice(from, to), start: from, end: to }));
  };
}
