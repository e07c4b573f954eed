import { h } from "../dom.js";
import { difference } from "../math.js";
import { absent, checkAll, choice, section, vectorRow } from "../marks.js";
import { cellView } from "./cells.js";
import { vectorList } from "./embeddings.js";
import { heatmap } from "./heatmap.js";

/** Encoder: the states, layer by layer, and what made the chosen one. */
export function encoder(app, view) {
  const { run, source, depth } = view;
  const { encoder } = run.document;
  const count = encoder?.layers ?? 0;
  const layer = Math.min(app.encoderLayer ?? count - 1, count - 1);
  const states = run.array(`encoder.layer.${layer}.states`) ?? (layer === count - 1 ? run.array("encoder.states") : null);
  const token = run.source.tokens[source];
  const layers = count > 1 &&
    choice("Layer", Array.from({ length: count }, (_, i) => [i, String(i + 1)]), layer, (value) => app.show({ encoderLayer: value }), `${view.side} encoder layer`);
  const parts = [];
  if (!states) parts.push(section("States", null, layers, absent(run, `encoder.layer.${layer}.states`, `The states of layer ${layer + 1}`)));
  else if (run.recurrentEncoder && encoder.bidirectional && states.shape[1] % 2 === 0) {
    const half = states.shape[1] / 2;
    const list = (from, to, name) =>
      vectorList(app, view, run.tokensOf(states), states, run.rowAt(states, source), (index) => ({ source: run.sourceAt(states, index) + 1 }), "key", name, from, to);
    parts.push(
      section(
        `Two readers, one state for each ${run.unit}`,
        null,
        layers,
        h(
          "div.two",
          {},
          h("div", {}, h("h4", {}, "reading forwards ", h("span.arrow", { "aria-hidden": "true" }, "↓")), list(0, half, "forward state")),
          h("div", {}, h("h4", {}, "reading backwards ", h("span.arrow", { "aria-hidden": "true" }, "↑")), list(half, 2 * half, "backward state")),
        ),
      ),
    );
  } else {
    parts.push(
      section(
        run.recurrentEncoder ? `One state for each ${run.unit}, read forwards ↓` : `One state for each ${run.unit}`,
        null,
        layers,
        vectorList(app, view, run.tokensOf(states), states, run.rowAt(states, source), (index) => ({ source: run.sourceAt(states, index) + 1 }), "key", "state"),
      ),
    );
  }
  if (run.recurrentEncoder) parts.push(gates());
  else parts.push(selfAttention(app, view, "encoder", layer, source));
  if (states) {
    parts.push(
      section(
        h("span", {}, "The state of ", h("bdi.quoted", {}, token.label)),
        null,
        vectorRow([h("i", {}, "h"), h("sub", {}, source + 1)], states.row(run.rowAt(states, source)), { role: "key", name: `state of ${token.label}` }, depth),
      ),
    );
  }
  return parts;

  function gates() {
    const directions = [["forward", "forwards"], ...(encoder.bidirectional ? [["backward", "backwards"]] : [])];
    const direction = encoder.bidirectional ? (app.direction ?? "forward") : "forward";
    const hidden = run.array(`encoder.layer.${layer}.${direction}.hidden`);
    const here = hidden ? run.rowAt(hidden, source) : source;
    const get = (name) => run.row(`encoder.layer.${layer}.${direction}.${name}`, here);
    if (!hidden) return section("Gates", null, absent(run, `encoder.layer.${layer}.${direction}`, `The gates of layer ${layer + 1}`));
    const zeros = new Float32Array(hidden.shape[1]);
    const neighbour = here + (direction === "forward" ? -1 : 1);
    const state = (index) => ({
      hidden: run.row(`encoder.layer.${layer}.${direction}.hidden`, index) ?? zeros,
      cell: run.row(`encoder.layer.${layer}.${direction}.cell`, index) ?? zeros,
    });
    const before = run.tokensOf(hidden)[neighbour];
    return section(
      h("span", {}, "How the memory changed at ", h("bdi.quoted", {}, token.label)),
      before ? ["The previous memory is what was kept after “", h("bdi", {}, before.label), "”."] : "The previous memory is empty: all zeros.",
      directions.length > 1 && choice("Reading", directions, direction, (value) => app.show({ direction: value }), `${view.side} direction`),
      cellView(view, run.kinds.encoder, [`encoder.layer.${layer}.${direction}`, here], get, state(neighbour), state(here), `at ${token.label}`),
    );
  }
}

/** Where tokens of one side look on their own side. */
export function selfAttention(app, view, part, layer, row) {
  const { run } = view;
  const weights = run.array(`${part}.layer.${layer}.self_attention.weights`);
  const [side, goTo] = part === "encoder"
    ? [run.source.tokens, (index) => ({ source: index + 1 })]
    : [[{ label: run.document.start.token }, ...run.target.tokens.slice(0, -1)], (index) => ({ step: index + 1 })];
  const title = part === "encoder" ? `Where each ${run.unit} looks` : "Where each token so far looks";
  if (!weights) return section(title, null, absent(run, `${part}.layer.${layer}.self_attention.weights`, "The weights of this self-attention"));
  const heads = weights.shape[0];
  const head = Math.min(app.selfHead ?? 0, heads - 1);
  const matrix = side.map((_, t) => weights.row(head, t));
  const scores = run.row(`${part}.layer.${layer}.self_attention.scores`, head, row);
  const width = run.array(`${part}.states`)?.shape[1] ?? run.array(`${part}.inputs`)?.shape[1];
  const until = part === "encoder" ? side.length : row + 1;
  const scale = 1 / Math.sqrt((width ?? 1) / heads);
  const exps = scores && Array.from(scores.subarray(0, until), (score) => Math.exp((score - Math.max(...scores.subarray(0, until))) * scale));
  const total = exps && exps.reduce((a, b) => a + b, 0);
  return section(
    title,
    `Each row belongs to the ${part === "encoder" ? run.unit : "token"} that looks, each column to one that it looks at. Each row sums to 1.`,
    heads > 1 && choice("Head", Array.from({ length: heads }, (_, i) => [i, String(i + 1)]), head, (value) => app.show({ selfHead: value }), `${view.side} ${part} head`),
    heatmap({
      rows: side.map(({ label }) => label),
      columns: side.map(({ label }) => label),
      matrix,
      row,
      column: -1,
      name: "weight",
      numbers: view.depth !== "bars",
      key: `${view.side} self ${part}`,
      choose: (t) => app.set(goTo(t)),
    }),
    exps && run.document.model.model_type === "attn_seq2seq" &&
      checkAll("weights = softmax(scores ÷ √dₖ)", difference(exps.map((value) => value / total), matrix[row]), until),
  );
}
