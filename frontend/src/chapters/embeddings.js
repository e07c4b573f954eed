import { h, number } from "../dom.js";
import { largest, norm, windowAround } from "../math.js";
import { absent, section, symbol, vectorRow, wave } from "../marks.js";

const MOST_VECTORS = 80; // under each other

/** Embeddings: each token's row of the embedding table. */
export function embeddings(app, view) {
  const { run, source, depth } = view;
  const all = run.array("encoder.embeddings");
  if (!all) return [absent(run, "encoder.embeddings", "The source embeddings")];
  const token = run.source.tokens[source];
  const vector = all.row(source);
  const inputs = run.array("encoder.inputs");
  const added = inputs && inputs.shape[1] === all.shape[1] && run.document.model.model_type === "attn_seq2seq"
    ? Float64Array.from(inputs.row(source), (value, i) => value - Math.sqrt(all.shape[1]) * vector[i])
    : null;
  return [
    section(
      "One row of the table for each token",
      "Each bar is one number: up is positive, down is negative. Choose a token to see its row.",
      vectorList(app, view, run.source.tokens, all, source, (index) => ({ source: index + 1 }), "ink", "embedding"),
    ),
    section(
      h("span", {}, "The row of ", h("bdi.quoted", {}, token.label), ` · token number ${token.id}`),
      null,
      vectorRow([symbol("E x", "ink"), h("sub", {}, source + 1)], vector, { name: `embedding of ${token.label}` }, depth),
      inputs && vectorRow("what enters the first layer", inputs.row(source), { name: `input of ${token.label}` }, depth),
      added && largest(added) > 1e-6 &&
        vectorRow("of which for its position", added, { name: `numbers for position ${source + 1}` }, depth),
      added && h("p.note", {}, `The row is multiplied by √${all.shape[1]} = ${number(Math.sqrt(all.shape[1]), 2)}${largest(added) > 1e-6 ? ", and the rest of the input encodes the position" : ""}.`),
    ),
  ];
}

/** What nearly all numbers stay within: a few large ones would flatten all others. */
function common(rows) {
  const sizes = rows.flatMap((row) => Array.from(row, Math.abs)).sort((a, b) => a - b);
  return sizes[Math.floor(0.99 * (sizes.length - 1))] || sizes.at(-1);
}

/** Tokens under each other, each with its vector, on one scale. */
export function vectorList(app, view, tokens, array, chosen, goTo, role, name, from = 0, to = array.shape.at(-1)) {
  const [first, end] = windowAround(chosen, tokens.length, MOST_VECTORS);
  const shown = tokens.slice(first, end);
  const rows = shown.map((_, index) => array.row(first + index).subarray(from, to));
  const max = common(rows);
  return h(
    "div.vector-list",
    shown.length > 24 ? { class: "long", "data-scroll": `${view.side} list ${name}` } : {},
    shown.map((token, nth) => {
      const index = first + nth;
      return h(
        "button.vector-item",
        {
          type: "button",
          "aria-pressed": String(index === chosen),
          class: index === chosen ? "current" : "",
          "data-key": `${view.side} ${name} ${index}`,
          onclick: () => app.set(goTo(index)),
        },
        h("bdi.vector-token", {}, token.label),
        wave(rows[nth], { role, name: `${name} of ${token.label}`, max }),
        h("span.norm", {}, number(norm(rows[nth]), 2)),
      );
    }),
    shown.length < tokens.length && h("p.list-foot", {}, `tokens ${first + 1} to ${end} of ${tokens.length}, around the chosen one`),
    h("p.list-foot", {}, "same scale for all; on the right, the norm of each vector, the root of the sum of its numbers squared"),
  );
}
