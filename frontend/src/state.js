// Where the reader is: kept in the address, so that a link leads back to the same place.

export const CHAPTERS = ["tokens", "embeddings", "encoder", "handover", "step_input", "attention", "state", "choice", "loop"];
export const STEP_CHAPTERS = ["step_input", "attention", "state", "choice", "loop"];
export const DEPTHS = ["bars", "numbers", "vectors"];

/**
 * In the address, sentences, steps, source tokens, layers and heads count from 1, as on the page; head 0 is the mean of all; no level is what suits the run. Step 0
 * is the one that teaches most, and source token 0 the one that the step looked at most.
 */
export const START = {
  sentence: 1,
  chapter: "tokens",
  step: 0,
  source: 0,
  depth: "bars",
  level: "",
  layer: 0,
  head: 0,
  run: 1,
  beside: 0,
};

const WORDS = { chapter: CHAPTERS, depth: DEPTHS, level: ["tokens", "words"] };

export function readAddress(start = START) {
  const state = { ...start };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (!Object.hasOwn(START, key)) continue;
    if (WORDS[key]?.includes(value)) state[key] = value;
    else if (typeof START[key] === "number" && /^\d{1,4}$/.test(value)) state[key] = Number(value);
  }
  return state;
}

export function writeAddress(state, start = START) {
  const changed = Object.entries(state).filter(([key, value]) => value !== start[key]);
  const hash = changed.length ? `#${new URLSearchParams(changed)}` : "";
  if (hash === location.hash) return;
  try {
    history.replaceState(null, "", hash || location.href.split("#")[0]);
  } catch {
    // Inside a notebook's frame there is no address to keep it in.
  }
}
