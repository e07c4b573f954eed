import { h } from "../dom.js";
import { symbolsOf } from "../expression.js";
import { absent, checkAll, section, symbol, vectorRow } from "../marks.js";
import { difference, equate, largest } from "../math.js";
import { cellView, numbersRow, shownEquation } from "./cells.js";
import { selfAttention } from "./encoder.js";
import { decoderLayer, stateUpdate } from "./new_state.js";

/** What a decoder layer without self-attention makes of the steps so far. */
function mixer(view, kind, layer) {
  const { run, step, depth } = view;
  const get = (name) => run.row(`decoder.layer.${layer}.mixer.${name}`, step);
  const { title, note, cell, rows } = kind;
  const where = `at step ${step + 1}, layer ${layer + 1}`;
  const found = rows.filter(({ array }) => get(array));
  if (!found.length) return section(title, note, absent(run, `decoder.layer.${layer}.mixer.hidden`, "The gates of the decoder"));
  const values = new Map(found.map(({ array, symbol }) => [symbol, get(array)]));
  const state = (when) => ({ hidden: get(`hidden_${when}`), cell: get(`cell_${when}`) });
  const equations = kind.update.filter((equation) => symbolsOf(equation.replace("=", "+")).every((symbol) => values.has(symbol)));
  return section(
    title,
    note,
    found.map(({ array, symbol, title, says, share }) => numbersRow(`${title} ${symbol}`, says, get(array), where, depth, { share })),
    cell && get("hidden_after") && cellView(view, cell, [`decoder.layer.${layer}.mixer`, step], get, state("before"), state("after"), where),
    equations.map((equation) => {
      const { left, made } = equate(equation, values);
      return checkAll(shownEquation(equation), difference(made, values.get(left)), made.length, largest(values.get(left)));
    }),
  );
}

/** Step input: what a step begins with. */
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
    const between = decoder.query === "between";
    const before = run.row(`decoder.layer.${decoder.layers - 1}.hidden_before`, step);
    parts.push(
      section(
        "The memory before this step",
        step ? `What the decoder kept after step ${step}.` : "The initial state, as handed over.",
        before ? vectorRow([symbol("s", "query"), h("sub", {}, String(step))], before, { role: "query", name: "state before" }, depth) : absent(run, "decoder.layer", "The state before"),
      ),
      between && section("From this memory to the memory that asks", "By the first of two cells; the second reads what is read from the source, and is shown after the attention.", stateUpdate(app, view)),
    );
  } else if (decoder?.layers) {
    const [layer, layers] = decoderLayer(app, view);
    parts.push(
      layers,
      run.kinds.mixer ? mixer(view, run.kinds.mixer, layer) : selfAttention(app, view, "decoder", layer, step),
    );
  }
  return parts;
}
