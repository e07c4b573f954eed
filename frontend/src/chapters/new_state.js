import { h } from "../dom.js";
import { absent, choice, section, symbol, vectorRow } from "../marks.js";
import { cellView } from "./cells.js";

/** The decoder's layer that is shown, the last at first, and the choice among several. */
export function decoderLayer(app, view, first) {
  const { layers: count } = view.run.document.decoder;
  const layer = Math.min(app.decoderLayer ?? first ?? count - 1, count - 1);
  return [layer, count > 1 && choice("Layer", Array.from({ length: count }, (_, i) => [i, String(i + 1)]), layer, (value) => app.show({ decoderLayer: value }), `${view.side} decoder layer`)];
}

/** The update of the decoder's state at a step, layer by layer. */
export function stateUpdate(app, view) {
  const { run, step } = view;
  const [layer, layers] = decoderLayer(app, view, run.document.decoder.query === "between" ? 0 : undefined);
  const get = (name) => run.row(`decoder.layer.${layer}.${name}`, step);
  const [before, after] = [get("hidden_before"), get("hidden_after")];
  if (!before || !after) return [absent(run, `decoder.layer.${layer}`, "The gates of the decoder")];
  return [
    layers,
    ...cellView(view, run.kinds.decoder, [`decoder.layer.${layer}`, step], get, { hidden: before, cell: get("cell_before") }, { hidden: after, cell: get("cell_after") }, `at step ${step + 1}`),
  ];
}

/** The update by the second cell, where the attention asks between two. */
function secondUpdate(view) {
  const { run, step } = view;
  const get = (name) => run.row(`decoder.transition.${name}`, step);
  const state = (when) => ({ hidden: get(`hidden_${when}`), cell: get(`cell_${when}`) });
  if (!get("hidden_after")) return [absent(run, "decoder.transition", "The gates of the second cell")];
  return cellView(view, run.kinds.decoder, ["decoder.transition", step], get, state("before"), state("after"), `of the second cell at step ${step + 1}`);
}

/** New state: what a step makes of the token it read and of what it read from the source. */
export function newState(app, view) {
  const { run, step, depth } = view;
  const { decoder } = run.document;
  if (run.recurrentDecoder) {
    const [title, note] = {
      previous: ["The new memory", "What was read from the source enters it; the word is chosen from it, and the next step starts from it."],
      current: ["The new memory", "It asks next what to look at; the word is chosen from it, and the next step starts from it."],
      between: ["From the memory that asked to the new memory", "By the second cell: what was read from the source enters here. The word is chosen from it, and the next step starts from it."],
    }[decoder.query];
    return [section(`${title}, at step ${step + 1}`, note, decoder.query === "between" ? secondUpdate(view) : stateUpdate(app, view))];
  }
  const [layer, layers] = decoderLayer(app, view);
  const state = run.row(`decoder.layer.${layer}.states`, step);
  const sum = run.row(`decoder.layer.${layer}.residual`, step);
  const context = run.row(`attention.${layer}.context`, step);
  return [
    section(
      `What layer ${layer + 1} makes of step ${step + 1}`,
      layer === decoder.layers - 1 ? "The word is chosen from its state." : `Layer ${layer + 2} reads its state.`,
      layers,
      sum && vectorRow([symbol("u", "query"), " before reading the source"], sum, { role: "query", name: "sum before reading the source" }, depth),
      context && vectorRow([symbol("c", "value"), " what was read from the source"], context, { role: "value", name: "context" }, depth),
      state
        ? vectorRow([symbol("s", "query"), " state after the small network"], state, { role: "query", name: `state of layer ${layer + 1}` }, depth)
        : absent(run, `decoder.layer.${layer}.states`, `The state of layer ${layer + 1}`),
    ),
  ];
}
