// What the chapters say of a run: the export's sentences, with their slots filled.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]|(?! )\p{Zs}/gu;
const HARMLESS = "\u200c\u200d\u200e";
const SHORT = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/** Control characters as signs. */
function escaped(text) {
  const safe = text.replace(HIDDEN, (sign) => {
    if (HARMLESS.includes(sign)) return sign;
    const code = sign.codePointAt(0);
    const [letter, digits] = code < 256 ? ["x", 2] : code < 65536 ? ["u", 4] : ["U", 8];
    return SHORT[sign] ?? `\\${letter}${code.toString(16).padStart(digits, "0")}`;
  });
  return safe.trim() ? safe : `'${safe}'`;
}

const SPACES = /^[ ▁Ġ]+$/; // as texts and tokenizers write them
const closed = (text) => (RIGHT_TO_LEFT.test(text) ? `${text}\u200e` : text);
const isUnknown = ({ token }) => token === "<unk>" || token === "[UNK]";

function label(token) {
  const text = isUnknown(token) ? "" : (token.text ?? "");
  const shown = text.trim() || text || token.token;
  return SPACES.test(shown) ? "␣".repeat(shown.length) : escaped(shown);
}

const quoted = (token) => `"${closed(label(token))}"`;

// As in hf_attn_seq2seq/explain/chapters.py: there a whole sentence would pass for one word.
const UNSPACED = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\u{20000}-\u{3ffff}]/u;

/** A token, with its word where it is a piece of one. */
function named({ text, words, tokens }, index) {
  const { word } = tokens[index];
  const spelled = tokens.every((token) => token.special || [...token.text.trim()].length <= 1);
  const pieces = tokens.filter((token) => token.word === word).length;
  if (word === null || pieces === 1 || spelled || UNSPACED.test(text)) return quoted(tokens[index]);
  return `the piece ${quoted(tokens[index])} of "${closed(escaped(words[word].text))}"`;
}

/** A probability with two decimals, or with more where they would be 0.00 or 1.00. */
function said(number) {
  if (number > 0 && number < 0.005) {
    const [digit, power] = number.toExponential(0).split("e");
    return Number(power) >= -4 ? String(Number(`${digit}e${power}`)) : `${digit}e-${String(-power).padStart(2, "0")}`;
  }
  return number.toFixed(number >= 0.995 && number < 0.9995 ? 3 : 2);
}

const COUNTS = ["S", "T", "changed"];

/** A text with its slots filled; after a count of one, its noun loses the s. */
function filled(text, slots) {
  return text.replace(/⟦([\w.]+)⟧( [a-z]+s\b)?/g, (_, name, noun = "") => {
    const value = slots[name];
    return `${value}${value === "1" && COUNTS.includes(name) ? noun.slice(0, -1) : noun}`;
  });
}

/** The weights of the last layer at a step, as the mean of its heads. */
function meanWeights(arrays, layers, step) {
  const weights = layers.length ? arrays[`attention.${layers.at(-1)}.weights`] : null;
  if (!weights) return null;
  const [, heads, length] = weights.shape;
  const row = weights.row(step);
  return Array.from({ length }, (_, place) => {
    let sum = 0;
    for (let head = 0; head < heads; head++) sum += row[head * length + place];
    return sum / heads;
  });
}

/** The chapters and the sentences on the steps. */
export function textsOf({ chapters, sentences }, document, arrays) {
  const { source, target, steps, start, run, attention } = document;
  const count = (number) => number.toLocaleString("en-US");
  const at = (place) => {
    const name = quoted(source.tokens[place]);
    return `${named(source, place)}${source.tokens.filter((token) => quoted(token) === name).length > 1 ? ` at position ${place + 1}` : ""}`;
  };
  const slotsOf = (step) => {
    const { choice, candidates } = steps[step];
    const row = meanWeights(arrays, attention.layers, step);
    const order = row ? Array.from(row.keys()).sort((one, other) => row[other] - row[one] || one - other) : [];
    const candidate = (rank) => candidates[rank] && `${quoted(candidates[rank])} (${said(candidates[rank].probability)})`;
    return {
      mostly: !row || row[order[0]] > 0.5 || row.length === 1 ? "mostly" : "most",
      step: String(step + 1),
      chosen: named(target, step),
      fed: step ? named(target, step - 1) : quoted(start),
      probability: said(choice.probability),
      "candidate.0": candidate(0),
      "candidate.1": candidate(1),
      ...Object.fromEntries(order.slice(0, 2).flatMap((place, rank) => [[`at.${rank}`, at(place)], [`weight.${rank}`, said(row[place])]])),
    };
  };
  const first = source.tokens.find(({ special }) => !special) ?? source.tokens[0];
  const unknown = source.tokens.find((token) => isUnknown(token));
  const changed = steps.filter(({ processed }) => processed.length).length;
  const labels = source.tokens.map(label).join(" | ");
  const slots = {
    S: count(source.tokens.length),
    T: count(steps.length),
    labels: `${labels}${labels.includes("␣") ? " (␣ is a space)" : ""}`,
    first: closed(label(first)),
    id: String(first.id),
    written: unknown?.span ? escaped([...source.text].slice(...unknown.span).join("")) : "",
    text: target.text ? escaped(target.text) : "",
    last: named(target, target.tokens.length - 1),
    limit: count(run.max_new_tokens),
    changed: count(changed),
    beams: count(run.num_beams),
    score: run.score.toFixed(4),
    log_probability: steps.reduce((sum, { choice }) => sum + choice.log_probability, 0).toFixed(4),
  };
  const how = `${run.forced ? "given" : run.num_beams > 1 ? "beams" : "greedy"} ${changed ? "processed" : "plain"}`;
  const cases = {
    tokens: unknown?.span ? "unknown" : "known",
    choice: how,
    loop: `${run.stopped} ${how}`,
  };
  const told = Object.fromEntries(
    Object.entries(chapters).map(([key, byCase]) => [
      key,
      Object.fromEntries(Object.entries(byCase[cases[key] ?? ""]).map(([part, text]) => [part, filled(text, slots)])),
    ]),
  );
  const spoken = steps.map(({ choice }, step) => {
    const here = slotsOf(step);
    const rank = !choice.rank ? "first" : choice.forced ? "given" : "other";
    return filled(sentences[`${step ? "later" : "start"} ${here.mostly} ${rank}`], here);
  });
  return { chapters: told, sentences: spoken };
}
