// The trace of a run: the document that Python writes, from what the graphs gave. What is the same in every run of the
// model was written down by the export; what is here counts, names and sorts.
import { countAbove, largest, logSoftmax, restOf } from "./numbers.js";
import { beamTree } from "./search.js";
import { cutWords, tokenWords } from "./words.js";

const CANDIDATES = 10;
const EARLY = [false, true, "never"];
const NEAR = 1e-4; // by which settings must change a score to be said to have

/**
 * @param {any} settings from the export, with the document's constant parts
 * @param {{source: any, target: any}} vocabularies
 * @param {string} text the source
 * @param {number[]} ids its tokens
 * @param {number[]} forced the tokens that were given
 * @param {any} run of the model
 */
export function traceOf(settings, vocabularies, text, ids, forced, run) {
  const { told, words, vocabulary } = settings;
  const { source, target } = vocabularies;
  const { tokens, steps, limit, beams } = run;
  const ends = told.run.end_ids;
  const made = steps.map(({ fed, logits, scores }, index) => {
    const { logs, logsumexp } = logSoftmax(logits);
    const chosen = tokens[index];
    const shown = largest(logits, Math.min(CANDIDATES, logits.length));
    if (!shown.includes(chosen)) shown[shown.length - 1] = chosen;
    const describe = (id) => ({ ...target.name(id), logit: logits[id], probability: Math.exp(logs[id]), log_probability: logs[id] });
    const before = beams ? logs : logits;
    const near = (id) => Number.isFinite(scores[id]) && Math.abs(before[id] - scores[id]) <= NEAR + NEAR * Math.abs(scores[id]);
    const changed = shown.filter((id) => !near(id));
    return {
      step: index,
      fed: target.name(fed),
      candidates: shown.map(describe),
      rest: restOf(logs, shown),
      logsumexp,
      processed: changed.map((id) => ({ ...target.name(id), before: before[id], after: Number.isFinite(scores[id]) ? scores[id] : null })),
      choice: { ...describe(chosen), rank: countAbove(logits, logits[chosen]), forced: index < forced.length },
      stop: { is_end: ends.includes(chosen), at_limit: index + 1 === limit },
    };
  });
  const outputIds = [...new Set(made.flatMap(({ candidates }) => candidates.map(({ id }) => id)))].sort((one, other) => one - other);
  const { length_penalty } = told.run;
  const score = run.score ?? made.reduce((sum, { choice }) => sum + choice.log_probability, 0) / made.length ** length_penalty;
  return {
    ...told,
    run: { ...told.run, num_beams: run.count, forced: forced.length > 0, max_new_tokens: limit, stopped: ends.includes(tokens.at(-1)) ? "end" : "limit", score },
    source: side(source, text, ids, source.spans(text, ids), words),
    target: decodedSide(target, tokens, words),
    steps: made,
    output_ids: outputIds,
    beams: beams && { num_beams: run.count, length_penalty, early_stopping: EARLY[settings.search.early_stopping], steps: beamTree(beams, tokens, settings.search, (id) => target.name(id)) },
    omitted: [...told.omitted, ...(beams ? [settings.omitted_of_beams] : [])].map((entry) => ({ ...entry, what: entry.what.replace("⟦rest⟧", (vocabulary - outputIds.length).toLocaleString("en")) })),
  };
}

function decodedSide(vocabulary, ids, pattern) {
  const pieces = vocabulary.texts(ids);
  let at = 0;
  const spans = pieces.map((piece) => {
    const start = at;
    at += [...piece].length;
    return [start, at];
  });
  return side(vocabulary, pieces.join(""), ids, spans, pattern);
}

/** A text with its words and tokens. */
function side(vocabulary, text, ids, spans, pattern) {
  const words = cutWords(text, pattern);
  const characters = [...text];
  const owners = tokenWords(ids.map((id, index) => (vocabulary.special.has(id) ? null : spans[index])), words);
  return {
    text,
    words,
    tokens: ids.map((id, index) => {
      const special = vocabulary.special.has(id);
      return {
        ...vocabulary.name(id),
        text: special ? "" : characters.slice(...spans[index]).join(""),
        span: special ? null : spans[index],
        word: owners[index],
        special,
      };
    }),
  };
}
