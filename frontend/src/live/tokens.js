// Texts as tokens, with their places, and tokens as text.
import { Tokenizer } from "@huggingface/tokenizers";
import { tokenBytes } from "../pieces.js";

const letters = (text) => [...text.normalize("NFKC").toLowerCase()].filter((letter) => !/\s/u.test(letter));
const MARKS = /▁|<\/w>$|@@$/gu;
const length = (text) => [...text].length;

const BYTE = /^<0x([0-9A-F]{2})>$/;

/** Tokens in which each byte of a run that is no text stands for the sign of that; null if there is none. */
function withoutBroken(tokens) {
  const found = [...tokens];
  for (let at = 0; at < found.length; at++) {
    let end = at;
    while (end < found.length && BYTE.test(found[end])) end++;
    const bytes = Uint8Array.from(found.slice(at, end), (token) => parseInt(BYTE.exec(token)[1], 16));
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      found.fill("\ufffd", at, end);
    }
    at = Math.max(at, end - 1);
  }
  return found.some((token, index) => token !== tokens[index]) ? found : null;
}

/** One side's vocabulary. */
export class Vocabulary {
  /**
   * @param {any} file tokenizer.json
   * @param {{special: number[], unknown: number, plain: boolean, settings: any}} about ids without text, the one for what is not
   *   known, whether special tokens in a text are read as plain text, and what else of tokenizer_config.json is read
   */
  constructor(file, about) {
    const { settings: config } = about;
    this.about = about;
    this.special = new Set(about.special);
    this.decoder = new Tokenizer(file, config);
    this.encoder = about.plain ? new Tokenizer({ ...file, added_tokens: [] }, config) : this.decoder;
    const { vocab } = file.model;
    const names = Array.isArray(vocab) ? vocab.map(([token], id) => [token, id]) : Object.entries(vocab);
    this.names = new Map(names.map(([token, id]) => [id, token]));
    for (const { id, content } of file.added_tokens ?? []) this.names.set(id, content);
    this.known = new Map();
    this.words = [];
    this.first = Infinity;
    this.byteLevel = JSON.stringify(file.pre_tokenizer ?? null).includes('"ByteLevel"');
  }

  /** The same with the words of one source that a pointer can copy, whose numbers begin with `first`. */
  withWords(words, first) {
    return Object.assign(Object.create(Vocabulary.prototype), this, { words, first, known: new Map() });
  }

  encode(text) {
    // A model of whole words gives no number to what it does not know.
    return Array.from(this.encoder.encode(text).ids, (id) => Number(id ?? this.about.unknown));
  }

  /** The text of tokens; words outside the vocabulary stand in the places of the unknown token. */
  decode(ids) {
    if (!this.words.length) return this.decoded(ids);
    const { unknown, settings: { unk_token: sign } } = this.about;
    const words = ids.filter((id) => id >= this.first || id === unknown).map((id) => this.words[id - this.first] ?? sign);
    const text = this.decoded(ids.map((id) => (id >= this.first ? unknown : id)));
    const pieces = text.split(sign);
    if (pieces.length !== words.length + 1) return text; // the text itself has such a sign
    return pieces.map((piece, index) => piece + (words[index] ?? "")).join("");
  }

  decoded(ids) {
    if (!ids.length) return "";
    const tokens = withoutBroken(ids.map((id) => this.names.get(id) ?? ""));
    return tokens ? this.decoder.decoder(tokens) : this.decoder.decode(ids, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  /** A token as the trace names it. */
  name(id) {
    if (!this.known.has(id)) {
      const token = this.words[id - this.first] ?? this.names.get(id);
      this.known.set(id, { id, token: token ?? `[${id}]`, text: token === undefined ? "" : this.decode([id]) });
    }
    return { ...this.known.get(id) };
  }

  /** The text that each token adds to that of those before. */
  texts(ids) {
    const chosen = [];
    let end = 0;
    const whole = [...this.decode(ids.filter((id) => !this.special.has(id)))];
    return ids.map((id) => {
      if (this.special.has(id)) return "";
      chosen.push(id);
      const start = end;
      end = Math.max(end, Math.min(length(this.decode(chosen)), whole.length));
      return whole.slice(start, end).join("");
    });
  }

  /** The places `[start, end]` of tokens in the text that they were made from, in characters. */
  spans(text, ids) {
    const known = ids.map((id) => (id >= this.first ? this.about.unknown : id));
    const plain = known.filter((id) => !this.special.has(id)).map((id) => this.name(id));
    const spans = this.byteSpans(text, plain) ?? this.tidySpans(text, plain) ?? this.letterSpans(text, plain);
    return ids.map((id) => (this.special.has(id) ? null : spans.shift()));
  }

  /** The bytes that a token stands for. */
  bytes(token) {
    if (this.byteLevel) return tokenBytes(token) ?? new Uint8Array();
    const [, byte] = BYTE.exec(token) ?? [];
    return byte ? Uint8Array.of(parseInt(byte, 16)) : new TextEncoder().encode(token);
  }

  /**
   * Of tokens that are all of the text, letter for letter: those of one character share its place. Where tokens are bytes, the
   * space before a word is left out. Null if they are not.
   */
  byteSpans(text, tokens) {
    const parts = tokens.map(({ token }) => this.bytes(token));
    const characters = [...new TextDecoder().decode(Uint8Array.from(parts.flatMap((part) => [...part])))];
    const matches = [...text].length === characters.length && characters.join("").toLowerCase() === text.toLowerCase();
    if (!matches) return null;
    const owners = characters.flatMap((character, index) => Array(new TextEncoder().encode(character).length).fill(index));
    let at = 0;
    return parts.map(({ length: count }) => {
      const first = at;
      at += count;
      let [start, end] = [owners[first] ?? 0, (owners[at - 1] ?? -1) + 1];
      while (this.byteLevel && start < end && characters[start] === " ") start++;
      while (this.byteLevel && end > start && characters[end - 1] === " ") end--;
      return [start, end];
    });
  }

  /** The same for a text that the tokenizer first normalizes: each character stands where the text had led to it. */
  tidySpans(text, tokens) {
    const { normalizer } = this.encoder;
    const spans = normalizer && this.byteSpans(normalizer(text), tokens);
    if (!spans) return null;
    const characters = [...text];
    // With a letter behind it, a space at the end of what was read so far stays.
    const ends = characters.map((_, index) => length(normalizer(`${characters.slice(0, index + 1).join("")}x`)) - 1);
    const place = (index) => ends.findIndex((end) => end > index);
    return spans.map(([start, end]) => (start < end ? [place(start), place(end - 1) + 1] : [place(start), place(start)]));
  }

  /** Of other tokens, by their letters, which follow those of the text; the unknown covers what lies between. */
  letterSpans(text, tokens) {
    const characters = [...text];
    const places = characters.flatMap((character, index) => letters(character).map((letter) => ({ letter, index })));
    let at = 0;
    const spans = tokens.map(({ id, token }) => {
      if (id === this.about.unknown) return null;
      const wanted = letters(token.replace(MARKS, ""));
      if (!wanted.length) return [0, 0];
      for (let from = at; from + wanted.length <= places.length; from++) {
        if (!wanted.every((letter, offset) => places[from + offset].letter === letter)) continue;
        at = from + wanted.length;
        return [places[from].index, places[at - 1].index + 1];
      }
      return [0, 0];
    });
    let end = 0;
    return spans.map((span, index) => {
      if (span) {
        end = Math.max(end, span[1]);
        return span;
      }
      const following = spans.slice(index + 1).find((other) => other && other[1])?.[0] ?? characters.length;
      while (end < following && /\s/u.test(characters[end])) end++;
      let stop = end;
      while (stop < following && !/\s/u.test(characters[stop])) stop++;
      const found = [end, stop];
      end = stop;
      return found;
    });
  }
}
