import { h } from "../dom.js";
import { absent, section, symbol, vectorRow } from "../marks.js";
import { cellView } from "./cells.js";
import { selfAttention } from "./encoder.js";
import { choice, checkAll } from "../marks.js";
import { difference, largest } from "../math.js";

/** What can stand in for a decoder layer's self-attention. */
export const MIXERS = {
  ssru: { short: "SSRU", title: "The memory of this layer", note: "In place of self-attention, each layer keeps a memory that every step updates; its gates depend on the input alone." },
  min_gru: { short: "minGRU", title: "The memory of this layer", note: "In place of self-attention, each layer keeps a memory that every step updates; its gates depend on the input alone." },
  average: { short: "average attention", title: "The mean of this layer's inputs", note: "In place of self-attention, each layer takes the mean of its inputs at all steps so far." },
};

/** What a decoder layer without self-attention makes of the steps so far. */
function mixer(view, kind, layer) {
  const { run, step, depth } = view;
  const get = (name) => run.row(`decoder.layer.${layer}.mixer.${name}`, step);
  const { title, note } = MIXERS[kind];
  const where = `at step ${step + 1}, layer ${layer + 1}`;
  if (!get("hidden_after") && !get("output")) return section(title, note, absent(run, `decoder.layer.${layer}.mixer.hidden`, "The gates of the decoder"));
  if (kind !== "average") {
    const state = (when) => ({ hidden: get(`hidden_${when}`), cell: get(`cell_${when}`) });
    return section(title, note, vectorRow("input", get("inputs"), { name: `input ${where}` }, depth), ...cellView(view, kind, get, state("before"), state("after"), where));
  }
  const [inputs, mean, network, enter, forget, output] = ["inputs", "mean", "network", "input", "forget", "output"].map(get);
  const row = (label, what, values, max) =>
    vectorRow([label, what && h("span.row-note", {}, what)], values, { name: `${label} ${where}`, max }, depth);
  const made = network && Float64Array.from(output, (_, i) => enter[i] * inputs[i] + forget[i] * network[i]);
  return section(
    title,
    note,
    inputs && row("input x", "at this step", inputs),
    row("mean", `of the inputs of ${step + 1} ${step ? "steps" : "step"}`, mean),
    network && row("g", "what a small network makes of the mean", network),
    enter && row("input gate i", "how much of the input goes on", enter, 1),
    forget && row("forget gate f", "how much of g goes on", forget, 1),
    row(network ? "output h" : "what a small network makes of it", null, output),
    made && checkAll("h = i x + f g", difference(made, output), made.length, largest(output)),
  );
}

/** The update of the decoder's state at a step, layer by layer. */
export function stateUpdate(app, view) {
  const { run, step } = view;
  const count = run.document.decoder.layers;
  const layer = Math.min(app.decoderLayer ?? (run.document.decoder.query === "between" ? 0 : count - 1), count - 1);
  const get = (name) => run.row(`decoder.layer.${layer}.${name}`, step);
  const [before, after] = [get("hidden_before"), get("hidden_after")];
  if (!before || !after) return [absent(run, `decoder.layer.${layer}`, "The gates of the decoder")];
  return [
    count > 1 && choice("Layer", Array.from({ length: count }, (_, i) => [i, String(i + 1)]), layer, (value) => app.show({ decoderLayer: value }), `${view.side} decoder layer`),
    ...cellView(view, run.document.decoder.type, get, { hidden: before, cell: get("cell_before") }, { hidden: after, cell: get("cell_after") }, `at step ${step + 1}`),
  ];
}

/** The update by the second cell, where the attention asks between two. */
export function secondUpdate(view) {
  const { run, step } = view;
  const get = (name) => run.row(`decoder.transition.${name}`, step);
  const state = (when) => ({ hidden: get(`hidden_${when}`), cell: get(`cell_${when}`) });
  if (!get("hidden_after")) return [absent(run, "decoder.transition", "The gates of the second cell")];
  return cellView(view, run.document.decoder.type, get, state("before"), state("after"), `of the second cell at step ${step + 1}`);
}

/** Chapter 5: what a step begins with. */
export function stepInput(app, view) {
  const { run, step, depth } = view;
  const { decoder } = run.document;
  const fed = run.steps[step].fed;
  const word = run.word(fed.token);
  const embedding = run.row("decoder.embeddings", step);
  const inputs = run.row("decoder.inputs", step);
  const parts = [
    section(
      h("span", {}, `Step ${step + 1} reads the previous word: `, h("bdi.quoted", {}, word)),
      step ? `It was chosen at step ${step}.` : "It is the start token: no word has been chosen yet.",
      h("p.big-token", {}, h("bdi", {}, word), h("span.piece-id", {}, fed.id)),
      embedding
        ? vectorRow([symbol("E y", "ink"), h("sub", {}, step ? String(step) : "0")], embedding, { name: `embedding of ${word}` }, depth)
        : absent(run, "decoder.embeddings", "The embedding of this token"),
      inputs && vectorRow("with its position", inputs, { name: "input of the first decoder layer" }, depth),
    ),
  ];
  if (run.recurrentDecoder) {
    const feeding = decoder.input_feeding && step > 0 && run.row("output.hidden", step - 1);
    if (feeding) {
      parts.push(section("The vector behind its last choice", "Input feeding: the vector that the output layer read at the previous step is an input too.",
        vectorRow([symbol("r", "ink"), h("sub", {}, String(step))], feeding, { name: "fed vector" }, depth)));
    }
    if (decoder.query === "between") {
      parts.push(section("From the previous memory to the memory used as query", "By the first of two cells; the second, which reads what is read from the source, is shown in the last chapter.", stateUpdate(app, view)));
    } else if (decoder.query === "current") {
      parts.push(section("From the previous memory to the memory used as query", null, stateUpdate(app, view)));
    } else {
      const before = run.row(`decoder.layer.${decoder.layers - 1}.hidden_before`, step);
      parts.push(
        section(
          "The memory before this step",
          step ? `What the decoder kept after step ${step}.` : "The initial state, as handed over.",
          before ? vectorRow([symbol("s", "query"), h("sub", {}, String(step))], before, { role: "query", name: "state before" }, depth) : absent(run, "decoder.layer", "The state before"),
          h("p.note", {}, "The memory after this step and its gates are shown in the last chapter, because what is read from the source enters it."),
        ),
      );
    }
  } else if (decoder?.layers) {
    const layer = Math.min(app.decoderLayer ?? decoder.layers - 1, decoder.layers - 1);
    parts.push(
      decoder.layers > 1 && choice("Layer", Array.from({ length: decoder.layers }, (_, i) => [i, String(i + 1)]), layer, (value) => app.show({ decoderLayer: value }), `${view.side} decoder layer`),
      decoder.mixer in MIXERS ? mixer(view, decoder.mixer, layer) : selfAttention(app, view, "decoder", layer, step),
    );
  }
  return parts;
}
