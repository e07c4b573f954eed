import { h, number, whole } from "../dom.js";
import { prose } from "../formula.js";
import { absent, bar, section, symbol, table, vectorRow } from "../marks.js";
import { vectorList } from "./embeddings.js";
import { startByRow } from "./worked.js";

/** Handover: what the decoder gets: keys and values, a first state, a start token. */
export function handover(app, view) {
  const { run, depth, layer } = view;
  const head = view.oneHead(view.step, view.source);
  const parts = [run.fixed ? oneVector() : memory()];
  parts.push(firstState());
  parts.push(
    section(
      "The start token",
      "Before the first step there is no previous word; this token takes its place.",
      h("p.big-token", {}, h("bdi", {}, run.document.start.token), h("span.piece-id", {}, run.document.start.id)),
    ),
  );
  parts.push(contrast());
  return parts;

  /** The same words through a model without attention. */
  function contrast() {
    const { contrast } = run;
    const vector = run.row("contrast.context");
    if (!contrast || !vector) return null;
    const { model, trained, text, lengths } = contrast;
    return section(
      "The contrast: one vector in place of all states",
      `${model} has no attention and was trained ${trained}: it reads these ${run.source.tokens.length} tokens into one vector of ${vector.length} numbers, as it would any number of them, and translates from that vector alone.`,
      vectorRow(symbol("c", "value"), vector, { role: "value", name: "the fixed context vector" }, depth),
      h("p.contrast", {}, "With attention: ", h("bdi.quoted", {}, run.target.text)),
      h("p.contrast", {}, "From one vector: ", h("bdi.quoted", {}, text)),
      table(
        `BLEU, which counts from 0 to 100 how much of the reference translations’ wording is found, by the number of words of the source: ${lengths.of}`,
        ["words", "texts", "with attention", "", "from one vector", ""],
        lengths.rows.map(([words, count, attending, fixed]) => [words.replace("-", " to "), whole(count), number(attending, 1), bar(attending / 100), number(fixed, 1), bar(fixed / 100, "value")]),
      ),
    );
  }

  function oneVector() {
    const context = run.row("attention.0.context", 0);
    return section(
      "One vector for the whole source",
      `All ${run.source.tokens.length} ${run.units} in a single list of numbers, the same at every step.`,
      context ? vectorRow(symbol("c", "value"), context, { role: "value", name: "the fixed context vector" }, depth) : absent(run, "attention.0.context", "The context vector"),
    );
  }

  function memory() {
    const slices = (name) => {
      const array = run.array(`attention.${layer}.${name}`);
      if (!array) return null;
      const [, count, size] = array.shape;
      const rows = array.row(head);
      return { shape: [count, size], row: (index) => rows.subarray(index * size, (index + 1) * size) };
    };
    const keys = slices("keys");
    const values = slices("values");
    const { attention } = run.kinds;
    const states = attention && !attention.projects;
    const made = states ? `: the encoder's states h${run.heads > 1 ? ", a part for each head" : " themselves"}` : attention ? ": the encoder's states h, multiplied by a matrix" : "";
    const column = (array, role, letter, title, what) =>
      h(
        "div",
        {},
        h("h4", {}, symbol(letter, role), ` ${title}`),
        array
          ? vectorList(app, view, run.source.tokens, array, view.source, (index) => ({ source: index + 1 }), role, what)
          : absent(run, `attention.${layer}.${what}s`, what === "key" && attention && !attention.columns.some((column) => column.array === "keys") ? "Keys: this attention scores positions, and its keys" : `The ${what}s`),
      );
    return section(
      run.input ? `The memory: a key and a value for each ${run.unit}` : "The memory: a key and a value for each source token",
      `Keys are compared with the query; values are what is then read${made}. Both are computed once and used at every step.`,
      view.layerChoice(),
      view.headChoice(),
      h("div.two", {}, column(keys, "key", "k", "keys", "key"), column(values, "value", states ? "h" : "v", "values", "value")),
    );
  }

  function firstState() {
    const state = run.array("handover.state");
    const summary = run.row("handover.summary");
    const { formula, bridge } = run.document.handover ?? {};
    if (!state) {
      const sentence = formula?.startsWith("h_") ? `The states ${formula}.` : formula && `${formula[0].toUpperCase()}${formula.slice(1)}.`;
      return section("The initial state", sentence ? prose(sentence) : null,
        !formula && absent(run, "handover.state", "The initial state"));
    }
    const [layers, parts] = state.shape;
    const rows = [];
    for (let index = 0; index < layers; index++) {
      for (let part = 0; part < parts; part++) {
        const isCell = run.kinds.decoder?.state[part] === "cell";
        const what = `${isCell ? "cell" : "state"}${layers > 1 ? ` of layer ${index + 1}` : ""}`;
        rows.push(vectorRow([symbol(isCell ? "m" : "s", "query"), h("sub", {}, "0"), ` ${what}`], state.row(index, part), { role: "query", name: `first ${what}` }, depth));
      }
    }
    return section(
      "The initial state of the decoder",
      null,
      summary && bridge !== "zeros" && vectorRow("what it is computed from", summary, { role: "key", name: "summary of the encoder" }, depth),
      rows,
      startByRow(view),
    );
  }
}
