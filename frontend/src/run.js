// One traced run: its document, its arrays (unpacked when they are asked for), its words.
import { nameOf } from "./changed.js";
import { visible } from "./dom.js";
import { argmax } from "./math.js";
import { boxes } from "./media/places.js";
import { isByteLevel, pieceText } from "./pieces.js";

/** Numbers in row-major order. */
export class Tensor {
  constructor(shape, data) {
    this.shape = shape;
    this.data = data;
  }

  /** What lies at these indices of the first dimensions, without copying. */
  row(...index) {
    let [start, size] = [0, this.data.length];
    index.forEach((position, dimension) => {
      size /= this.shape[dimension];
      start += position * size;
    });
    return this.data.subarray(start, start + size);
  }
}

/** Numbers of 32 bits, or of 8 between a lowest and a highest. */
function unpack(base64, { low, high }) {
  const text = atob(base64);
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  if (low !== undefined) return Float32Array.from(bytes, (byte) => low + (byte / 255) * (high - low));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

export class Run {
  /**
   * @param {any} packed what the Python side wrote for one trace, or a run made on the page, whose arrays are tensors
   * @param {string[]} pool the numbers of all runs, in base64
   * @param {{what: string, why: string}[]} leftOut what the page does not carry of the traces
   */
  constructor(packed, pool, leftOut) {
    this.document = packed.document;
    this.parent = packed.parent;
    this.engine = null; // what made it, where that is in the page
    this.faithfulness = packed.faithfulness;
    this.contrast = packed.contrast ?? null;
    this.pool = pool;
    this.leftOut = leftOut;
    this.packed = packed.arrays;
    this.chapters = packed.chapters;
    this.sentences = packed.sentences;
    this.unpacked = new Map();
    const { source, target, attention } = this.document;
    this.byteLevel = { source: isByteLevel(source.tokens), target: isByteLevel(target.tokens) };
    this.source = side(source, this.byteLevel.source);
    // Of a recording or a picture, the tokens of the source are the states of the encoder.
    this.input = this.document.input ?? null;
    this.boxes = this.input && boxes(this);
    this.unit = this.input ? (this.input.kind === "audio" ? "frame" : this.input.layout === "columns" ? "column" : "patch") : "token";
    this.units = this.unit === "patch" ? "patches" : `${this.unit}s`;
    this.made = this.input ? (this.input.kind === "audio" ? "Transcription" : "Text") : "Translation";
    this.target = side(target, this.byteLevel.target);
    this.steps = this.document.steps;
    this.spelled = isSpelled(this.input ? this.target : this.source);
    this.level = this.spelled || UNSPACED.test(source.text + target.text) ? "tokens" : "words";
    // A page that had to leave much out may not have the weights of all layers.
    this.layers = (attention?.layers ?? []).filter((layer) => packed.arrays[`attention.${layer}.weights`]);
    this.heads = this.array(`attention.${this.layers[0]}.weights`)?.shape[1] ?? attention?.heads ?? 1;
    this.attends = this.layers.length > 0;
    this.fixed = attention?.type === "none";
    // How the numbers of each part are made; undefined where the explanation has no formulas for them, or needs none.
    this.kinds = this.document.kinds ?? {};
    this.name = packed.name ?? nameOf(this);
  }

  /** The same by another name. */
  named(name) {
    return Object.assign(Object.create(Object.getPrototypeOf(this)), this, { name });
  }

  /** @returns {Tensor|null} null where the trace does not hold it */
  array(name) {
    if (!this.unpacked.has(name)) {
      const entry = this.packed[name];
      this.unpacked.set(name, entry instanceof Tensor ? entry : entry ? new Tensor(entry.shape, unpack(this.pool[entry.at], entry)) : null);
    }
    return this.unpacked.get(name);
  }

  /** The source tokens as an array has them: below the joins of a pyramid there are more. */
  tokensOf(array) {
    const { tokens } = this.source;
    const [count] = array.shape;
    if (count === tokens.length) return tokens;
    return Array.from({ length: count }, (_, index) => ({ ...tokens[Math.floor((index * tokens.length) / count)], index, label: `${index + 1}` }));
  }

  /** Which row of such an array a source token stands for, and the other way round. */
  rowAt(array, source) {
    return Math.floor((source * array.shape[0]) / this.source.tokens.length);
  }

  sourceAt(array, row) {
    return Math.floor((row * this.source.tokens.length) / array.shape[0]);
  }

  /** One row of an array, or null. @returns {Float32Array|null} */
  row(name, ...index) {
    const array = this.array(name);
    return array && index.every((position, i) => position >= 0 && position < array.shape[i]) ? array.row(...index) : null;
  }

  /** Weights of a step over the source; `head` -1 is the mean of the heads. @returns {Float64Array|null} */
  weights(layer, step, head) {
    const all = this.array(`attention.${layer}.weights`);
    if (!all || step >= all.shape[0]) return null;
    if (head >= 0) return Float64Array.from(all.row(step, head));
    const mean = new Float64Array(all.shape[2]);
    for (let h = 0; h < all.shape[1]; h++) all.row(step, h).forEach((weight, j) => (mean[j] += weight / all.shape[1]));
    return mean;
  }

  /** The step that teaches most: its weights, or without attention its probabilities, are spread most; ends are left out. */
  get telling() {
    return (this.told ??= this.mostSpread());
  }

  mostSpread() {
    const spread = (shares) => shares.reduce((sum, share) => (share > 0 ? sum - share * Math.log2(share) : sum), 0);
    const steps = this.steps.map(({ candidates, rest }, step) =>
      (this.target.tokens[step].special ? -1 : spread(this.attends ? this.weights(this.layers.at(-1), step, -1) : [...candidates.map(({ probability }) => probability), rest])));
    return argmax(steps);
  }

  /** A token's name to read, its spaces as signs. */
  piece(token, side = "target") {
    const text = pieceText(token, this.byteLevel[side]);
    return visible(text === " " ? text : text.replace(/^ +(?=\S)/, (spaces) => "␣".repeat(spaces.length)));
  }

  /** The same without the space before a word, as a reader would write it. */
  word(token) {
    const text = pieceText(token, this.byteLevel.target);
    return visible(text.trim() || text || token);
  }

  /** Names of several tokens; the space before a word is shown only where it tells two of them apart. */
  words(tokens) {
    const short = tokens.map((token) => this.word(token));
    return tokens.map((token, i) => (short.some((other, j) => other === short[i] && tokens[j] !== token) ? this.piece(token) : short[i]));
  }

  /** Why an array is not here, where the trace or the page says so. */
  why(name) {
    const last = name.split(".").at(-1);
    const words = { query: "queries", context: "weighted sums", head_context: "weighted sums", hidden: "gates" }[last] ?? last;
    const entry = [...this.leftOut, ...(this.document.omitted ?? [])].find(({ what }) => what.includes(words));
    return entry?.why ?? null;
  }

  get recurrentDecoder() {
    return Boolean(this.kinds.decoder);
  }

  get recurrentEncoder() {
    return Boolean(this.kinds.encoder);
  }
}

// Where no spaces part the words, a whole sentence would pass for one.
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

/** Whether each token that stands for text is a single character. */
const isSpelled = ({ tokens }) => tokens.every(({ text, special }) => special || [...text.trim()].length <= 1);

/** Tokens with what to show for each, and their groups: words, and single tokens that belong to none. */
function side({ text, words, tokens }, byteLevel) {
  const label = (token) => visible(token.text.trim() || token.text || pieceText(token.token, byteLevel));
  const shown = tokens.map((token, index) => ({ ...token, index, label: label(token) }));
  const groups = [];
  for (const token of shown) {
    const last = groups.at(-1);
    if (last && token.word !== null && last.word === token.word) last.members.push(token.index);
    else groups.push({ word: token.word, members: [token.index] });
  }
  for (const group of groups) {
    group.label = group.members.length > 1 && words[group.word]
      ? visible(words[group.word].text)
      : shown[group.members[0]].label;
    group.special = group.members.every((index) => shown[index].special);
  }
  const single = shown.map(({ label, index, special }) => ({ label, members: [index], special }));
  return { text, words, tokens: shown, words_: groups, single, direction: direction(text) };
}

/** Arabic, Hebrew and their kin are written from right to left; the first strong letter decides. */
function direction(text) {
  const strong = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]|\p{L}/u.exec(text);
  return strong && /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u.test(strong[0])
    ? "rtl"
    : "ltr";
}
