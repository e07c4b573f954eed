// One number of a vector as it is made: the row of a matrix times the numbers that it reads.
import { fixed, h, rounded, whole } from "../dom.js";
import { worked as filled } from "../expression.js";
import { typeset } from "../formula.js";
import { check, checkAll, largestFew, more, section, sumText, symbol } from "../marks.js";
import { difference, dot, largest } from "../math.js";
import { TRANSITION, firstInputs, workedGates, workedReadout, workedStart } from "../rows.js";
import { miniature } from "./heatmap.js";

const SHOWN = 4; // terms

/**
 * @param {{left: string, row: ArrayLike<number>, input: ArrayLike<number>, bias?: number, recorded: number, what: string}} parts
 * @returns the sum, and its check
 */
function product({ left, row, input, bias = 0, recorded, what }) {
  const total = dot(row, input) + bias;
  return [sumLine(left, { row, input, bias, total }, what), check(what, total, recorded)];
}

/** A row times what it reads, as a sum. @param {import("../rows.js").Product} parts */
function sumLine(left, { row, input, bias, total }, what) {
  const few = largestFew(Float64Array.from(row, (weight, i) => weight * input[i]), SHOWN);
  const terms = few.map((i) => [`${fixed(row[i])} × ${fixed(input[i])}`, rounded(row[i]) * rounded(input[i])]);
  return h("p.formula", { "data-shown": what }, typeset(left), ` = ${sumText(terms, row.length, "largest", total, bias ? [[`${fixed(bias)} (bias)`, rounded(bias)]] : [])} = ${fixed(total)}`);
}

/** A formula with its numbers, and what it makes. */
const lastLine = (left, formula, value, made) =>
  h("p.formula.last", {}, typeset(left), ` = ${filled(formula, (name) => fixed(value(name))).replaceAll("sigmoid", "σ").replaceAll("+ −", "− ")} = ${fixed(made)}`);

/** Things in a sentence: a, b and c. */
const listed = (things) => things.map((thing, index) => [index ? (index === things.length - 1 ? " and " : ", ") : "", thing]);

/** What a cell reads, in words. */
function reads(run, place, index) {
  const [side, , layer, part] = place.split(".");
  const quoted = (label) => h("bdi.quoted", {}, label);
  if (side === "encoder") {
    if (layer !== "0") return ["what layer ", layer, " made here"];
    return [run.input ? "what the front end gives for " : "the embedding of ", quoted(run.source.tokens[index].label)];
  }
  if (part === "mixer") return "what the layer reads";
  if (place === TRANSITION) return ["the context ", symbol("c", "value")];
  if (layer !== "0") return ["what layer ", layer, " made"];
  const words = {
    "E y": ["the embedding of ", quoted(run.word(run.steps[index].fed.token))],
    c: ["the context ", symbol("c", "value")],
    r: ["the vector ", symbol("r", "ink"), " of the step before"],
  };
  const parts = firstInputs(run, index);
  return [listed(parts.map(([name]) => words[name])), parts.length > 1 ? ", one behind the other" : ""];
}

/**
 * A number of each gate of a cell, from the rows of the matrices.
 * @param {string} place the cell's name in the trace
 * @returns {{at: number, lines: any}|null} null where the trace has no rows
 */
export function gatesByRows(run, place, index, kind) {
  const found = workedGates(run, place, kind, index);
  if (!found) return null;
  const [{ at, products }] = found;
  const gates = new Map(found.map(({ gate, recorded }) => [gate.symbol, recorded]));
  const recorded = Array.from(gates.values());
  return {
    at,
    lines: h(
      "div.by-rows",
      {},
      h("p.note", {}, `Number ${at + 1} is worked out: its rows in the matrices are the longest. Here `, h("i", {}, "x"), " is ", reads(run, place, index), ` (${whole(products[0].row.length)} numbers)`,
        products.length > 1 ? [", and ", h("i", {}, "h"), ` is the memory before (${whole(products[1].row.length)}).`] : "."),
      found.map(({ gate: { symbol: sign, title }, products: [w, u], formula, made }) => [
        h("h4", {}, `${title} ${sign}`),
        sumLine(`${formula === "w" ? `${sign}_${at + 1} = ` : ""}row ${at + 1} of W_${sign} times x`, w, `W${sign}`),
        u && sumLine(`row ${at + 1} of U_${sign} times h`, u, `U${sign}`),
        formula !== "w" && lastLine(`${sign}_${at + 1}`, formula, (name) => ({ w: w.total, u: u?.total })[name] ?? gates.get(name), made),
      ]),
      checkAll(`${Array.from(gates.keys()).join(", ")} from rows`, difference(found.map(({ made }) => made), recorded), found.length, largest(recorded)),
    ),
  };
}

/**
 * A number that a matrix makes.
 * @param {import("../rows.js").Worked} worked
 * @param {string} left its name
 * @param {string} row which row of the matrix makes it
 * @param {string} input what the row is multiplied with
 * @param {string} what the name of the check
 */
function byRow({ products: [first, second], formula, made, recorded }, left, row, input, what) {
  const name = second || formula !== "w" ? "" : `${left} = `;
  return [
    sumLine(`${name}row ${row} times ${input}`, first, what),
    second && [sumLine(`the row behind it times ${input}`, second, `${what} second`), h("p.formula.last", {}, typeset(left), ` = the larger of both = ${fixed(made)}`)],
    formula !== "w" && lastLine(left, formula, () => first.total, made),
    check(what, made, recorded),
  ];
}

/** A number of the decoder's initial state, worked out; or why there is nothing to work out. */
export function startByRow({ run }) {
  const found = workedStart(run);
  if (!found) return run.document.handover.bridge === "zeros" ? h("p.note", {}, "All its numbers are 0: nothing of the source is in it.") : null;
  const { shape: [layers, parts, size] } = run.array("handover.state");
  const [layer, part, at] = [Math.floor(found.at / size / parts), Math.floor(found.at / size) % parts, found.at % size];
  const sign = run.kinds.decoder?.state[part] === "cell" ? "m" : "s";
  const { matrix } = run.kinds.bridge;
  const some = run.array("handover.reads") !== null;
  const row = some ? layer * size + at : found.at;
  return [
    h("p.note", {}, `Number ${at + 1}${layers > 1 ? ` of layer ${layer + 1}` : ""} is worked out: its row in the matrix `, typeset(matrix), " is the longest. Here ", h("i", {}, "x"), ` is what the state is computed from${some ? ", of which the row reads a part" : ""} (${whole(found.products[0].row.length)} numbers).`),
    byRow(found, `${sign}_0, number ${at + 1}`, `${row + 1} of ${matrix}`, "x", `${sign}0 number ${at + 1}`),
  ];
}

/** What the readout reads, in words, by array. */
const READ = {
  "decoder.state": () => ["the new state ", symbol("s", "query")],
  "attention.0.context": () => ["the context ", symbol("c", "value")],
  "decoder.embeddings": () => "the embedding of the previous word",
};
const AS_THEY_ARE = {
  linear: " is the new state itself: there is no matrix between.",
  concat: " is the new state, the context and the embedding of the previous word, one behind the other: there is no matrix between.",
};

/** A number of what the output layer reads, worked out. */
export function readoutByRow({ run, step }) {
  const found = workedReadout(run, step);
  const told = AS_THEY_ARE[run.document.decoder?.readout];
  if (!found) return told ? section("Where r comes from", null, h("p.note", {}, symbol("r", "ink"), told)) : null;
  const { matrix, reads: names } = run.kinds.readout;
  const { at, products } = found;
  return section(
    "Where r comes from",
    null,
    h("p.note", {}, symbol("r", "ink"), " is made of ", listed(names.map((name) => READ[name]())), ", one behind the other: together ", h("i", {}, "x"), `, ${whole(products[0].row.length)} numbers. `,
      `Number ${at + 1} is worked out: its ${products.length > 1 ? "two rows in the matrix are" : "row in the matrix is"} the longest.`),
    byRow(found, `r_${at + 1}`, `${products.length * at + 1} of ${matrix}`, "x", `r${at + 1}`),
  );
}

/** What asks, by the query setting of a recurrent decoder. */
const ASKERS = {
  previous: ["s_(t-1)", "the decoder’s state before this step"],
  current: ["s_t", "the decoder’s new state"],
  between: ["s'_t", "the decoder’s state between its two cells"],
};

/** Where the query of a step and the key of a token come from: one number of each, worked out. */
export function origins(view, head) {
  const { run, layer, step, source } = view;
  const { matrices, columns } = run.kinds.attention ?? {};
  const array = (name, ...index) => run.row(`attention.${layer}.${name}`, ...index);
  const [query, keys] = [array("query", step, head), array("keys", head, source)];
  if (!matrices || !query || !keys || !columns.some((column) => column.array === "query")) return null;
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
  const { run, layer, step } = view;
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
    projects && row && sums && context
      ? [
        h("p.note", {}, `Number ${joined + 1} of the context is worked out: its row in the matrix is the longest.`),
        product({ left: `c_${joined + 1} = row ${joined + 1} of W^O times the heads’ sums`, row, input: sums, bias: run.row(`attention.${layer}.joining_bias`)?.[0], recorded: context[joined], what: `c${joined + 1}` }),
      ]
      : null,
  );
}

const COMMANDS = `hf-attn-seq2seq train training/recipes/grammar_en_fr.yaml model.num_attention_heads=4 output=outputs/heads
hf-attn-seq2seq explain outputs/heads "The cat is on the mat ." --html heads.html`;
