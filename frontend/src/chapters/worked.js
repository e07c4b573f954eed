// One number of a vector as it is made: the row of a matrix times the numbers that it reads.
import { fixed, h, rounded } from "../dom.js";
import { typeset } from "../formula.js";
import { check, largestFew, more, section, sumText, symbol } from "../marks.js";
import { dot } from "../math.js";
import { miniature } from "./heatmap.js";

const SHOWN = 4; // terms

/**
 * @param {{left: string, row: ArrayLike<number>, input: ArrayLike<number>, bias?: number, recorded: number, what: string}} parts
 * @returns the sum, and its check
 */
function product({ left, row, input, bias = 0, recorded, what }) {
  const total = dot(row, input) + bias;
  const few = largestFew(Float64Array.from(row, (weight, i) => weight * input[i]), SHOWN);
  const terms = few.map((i) => [`${fixed(row[i])} × ${fixed(input[i])}`, rounded(row[i]) * rounded(input[i])]);
  return [
    h("p.formula", { "data-shown": what }, typeset(left), ` = ${sumText(terms, row.length, "largest", total, bias ? [[`${fixed(bias)} (bias)`, rounded(bias)]] : [])} = ${fixed(total)}`),
    check(what, total, recorded),
  ];
}

/** What asks, by the query setting of a recurrent decoder. */
const ASKERS = {
  previous: ["s_(t-1)", "the decoder’s state before this step"],
  current: ["s_t", "the decoder’s new state"],
  between: ["s'_t", "the decoder’s state between its two cells"],
};

/** Where the query of a step and the key of a token come from: one number of each, worked out. */
export function origins(view, head) {
  const { run, layer, step, source, depth } = view;
  const { matrices, columns } = run.kinds.attention ?? {};
  const array = (name, ...index) => run.row(`attention.${layer}.${name}`, ...index);
  const [query, keys] = [array("query", step, head), array("keys", head, source)];
  if (depth === "lines" || !matrices || !query || !keys || !columns.some((column) => column.array === "query")) return null;
  const [asker, asks] = ASKERS[run.document.decoder.query] ?? ["u_t", "the decoder’s state"];
  const at = array("worked")?.[head];
  const made = (name, matrix, states) => {
    if (matrix) return [symbol(name, name === "q" ? "query" : "key"), ": a matrix, ", typeset(matrix), ", times ", states];
    return [symbol(name, name === "q" ? "query" : "key"), ": ", states, run.heads > 1 ? ", a part for each head" : " itself"];
  };
  const worked = (side, left, matrix, input, values) => {
    const row = array(`${side}_row`, head);
    return matrix && row && input
      ? product({ left: `${left} = row ${at + 1} of ${matrix} times the state`, row, input, bias: array(`${side}_bias`)?.[head], recorded: values[at], what: `${left.replace("_", "")}` })
      : null;
  };
  const token = h("bdi.quoted", {}, run.source.tokens[source].label);
  return section(
    "Where q and k come from",
    null,
    h("p.note", {}, made("q", matrices.query, [asks, ", ", typeset(asker)]), "; ", made("k", matrices.key, ["the encoder’s state of ", token, ", ", typeset(`h_${source + 1}`)]), "."),
    at === undefined
      ? null
      : [
        h("p.note", {}, `Number ${at + 1} is worked out: ${columns.some((column) => column.array === "vector") ? "to it the scoring network gives its largest weight v" : "its rows in the matrices are the longest"}${run.heads > 1 ? ", in this head" : ""}.`),
        worked("query", `q_${at + 1}`, matrices.query, array("asker", step), query),
        worked("key", `k_${at + 1}`, matrices.key, run.row("encoder.states", source), keys),
      ],
  );
}

/** Several heads side by side, and how they are joined; or a word on one. */
export function heads(app, view) {
  const { run, layer, step, depth } = view;
  if (run.heads === 1) {
    return section(
      "Heads",
      "This model has one head: one query, one key for each token, one set of weights. Others ask several questions at each step. To see several heads side by side, trace any such model, for example one trained in minutes on the built-in grammar:",
      h("pre.command", {}, COMMANDS),
    );
  }
  const { projects, matrices } = run.kinds.attention ?? {};
  const own = matrices ? (projects ? `its own part of the matrices ${[matrices.query, matrices.key].join(", ")} and W^V` : "its own part of the vectors") : "its own part of the vectors";
  const maps = (one) => Array.from({ length: run.heads }, (_, head) =>
    miniature(
      run.steps.map((_, t) => run.weights(one, t, head)),
      run.layers.length > 1 ? `layer ${one + 1}, head ${head + 1}` : `head ${head + 1}`,
      one === layer && head === view.head,
      () => app.set({ layer: one + 1, head: head + 1 }),
      `${view.side} head ${one} ${head}`,
    ));
  const sums = run.row(`attention.${layer}.head_context`, step);
  const context = run.row(`attention.${layer}.context`, step);
  const row = run.row(`attention.${layer}.joining_row`);
  const joined = run.row(`attention.${layer}.joined`)?.[0];
  return section(
    `Heads: ${run.heads} attentions side by side`,
    null,
    h("p.note", {}, "All heads read the same state that asks and the same encoder states, but each has ", typeset(own), ", so each has scores and weights of its own. A row for each step, a column for each ", run.unit, "; choose one to see its numbers."),
    h("div.miniatures.heads", {}, maps(layer)),
    run.layers.length > 1 && more(app, "heads", `The other layers: ${run.layers.length * run.heads} maps in all`, run.layers.map((one) => h("div.miniatures", {}, maps(one)))),
    h("p.note", {}, `The weighted sums of the heads are concatenated${projects ? ", and a matrix, " : "."}`, projects ? [typeset("W^O"), ", makes the context of them."] : null),
    projects && row && sums && context && depth !== "lines"
      ? [
        h("p.note", {}, `Number ${joined + 1} of the context is worked out: its row in the matrix is the longest.`),
        product({ left: `c_${joined + 1} = row ${joined + 1} of W^O times the heads’ sums`, row, input: sums, bias: run.row(`attention.${layer}.joining_bias`)?.[0], recorded: context[joined], what: `c${joined + 1}` }),
      ]
      : null,
  );
}

const COMMANDS = `hf-attn-seq2seq train training/recipes/grammar_en_fr.yaml model.num_attention_heads=4 output=outputs/heads
hf-attn-seq2seq explain outputs/heads "The cat is on the mat ." --html heads.html`;
