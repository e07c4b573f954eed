import { leftOut, weightsSet } from "../changed.js";
import { exact, fixed, h, number, rounded } from "../dom.js";
import { typeset } from "../formula.js";
import { argmax, difference, largest, ledger, norm, sum, weigh, weightedSum } from "../math.js";
import { absent, bar, check, checkAll, largestFew, more, section, sumText, symbol, table, vectorRow, wave } from "../marks.js";
import { groupAt, groupedWeights, groupsOf } from "../diagram.js";
import { headsLeftOut } from "./changes.js";
import { heatmap } from "./heatmap.js";
import { overview as mediaOverview } from "./media.js";
import { otherViews } from "./views.js";
import { whatIf } from "./what_if.js";
import { heads, origins } from "./worked.js";

const NO_FORMULA = "The explanation has no formula for this kind of attention: its numbers are shown, and not recomputed.";

/** Attention: scores, weights, weighted sum; and what if they were others. */
export function attention(app, view) {
  const { run, layer, step, source, depth } = view;
  if (run.fixed) {
    const context = run.row("attention.0.context", step);
    return [
      section(
        "The same vector at every step",
        "This model has no scores and no weights.",
        context ? vectorRow(symbol("c", "value"), context, { role: "value", name: "the fixed context vector" }, depth) : absent(run, "attention.0.context", "The context vector"),
      ),
      otherViews(app, view),
    ];
  }
  if (!run.attends) return [section("Where it looks", null, absent(run, "attention", "The weights of this attention")), otherViews(app, view)];
  const head = view.oneHead(step, source);
  const token = run.source.tokens[source];
  const word = run.target.tokens[step];
  const made = weigh(run, layer, step, head);
  const weights = run.weights(layer, step, head);
  const deep = depth === "numbers" || depth === "vectors";
  return [run.input ? mediaOverview(app, view) : overview(), origins(view, head), scorePart(), weightPart(), sumPart(), heads(app, view), otherViews(app, view), whatIf(app, view, head)];

  function overview() {
    const columns = groupsOf(run.source, view.level);
    const rows = groupsOf(run.target, view.level);
    return section(
      "Where it looks, at every step",
      view.level === "words"
        ? "One row per word being chosen, one column per word looked at: sums over the pieces of a source word, means over those of a target word. Choose a cell to see how its weight was computed, piece by piece."
        : "One row per word being chosen, one column per word looked at. Choose a cell to see how its weight was computed.",
      view.layerChoice(),
      view.headChoice(),
      heatmap({
        rows: rows.map(({ label }) => label),
        columns: columns.map(({ label }) => label),
        matrix: groupedWeights(run, layer, view.head, rows, columns),
        row: groupAt(rows, step),
        column: groupAt(columns, source),
        name: "weight",
        numbers: view.depth !== "bars",
        key: `${view.side} attention`,
        choose: (t, j) => app.set({ step: pick(rows[t].members, step) + 1, source: pick(columns[j].members, source) + 1 }),
        directions: [run.source.direction],
      }),
      headsLeftOut(app, view),
    );
  }

  /** Whether a what-if run put other weights in the place of the model's. */
  function edited() {
    return weightsSet(run.document, layer).has(step);
  }

  /** Whether a what-if run left this head out. */
  function isLeftOut() {
    return leftOut(run.document, layer).includes(head);
  }

  function says(words) {
    return words.replace(/\btoken\b/, run.unit);
  }

  function headNote() {
    return view.head < 0 && run.heads > 1
      ? h("p.note", {}, `The map shows the mean of ${run.heads} heads, which has no score of its own. Below is head ${head + 1}, which gives this ${run.unit} the largest weight.`)
      : null;
  }

  function scorePart() {
    const account = ledger(run, layer, step, head, source);
    const title = h("span", {}, h("span.part-number", {}, "1"), "The score: how well does ", h("bdi.quoted", {}, token.label), " fit, while choosing ", h("bdi.quoted", {}, word.label), "?");
    if (!account) {
      const recorded = run.row(`attention.${layer}.scores`, step, head)?.[source];
      if (!run.kinds.attention) return section(title, null, headNote(), recorded !== undefined && h("p.formula", {}, `score = ${number(recorded, 6)}`), h("p.note", {}, NO_FORMULA));
      return section(title, null, headNote(),
        recorded === undefined ? absent(run, `attention.${layer}.scores`, "The scores") : [h("p.formula", {}, `score = ${number(recorded, 6)}`), absent(run, `attention.${layer}.query`, "The queries and keys behind this score")]);
    }
    const { columns, terms, offset, total, recorded, formula } = account;
    return section(
      title,
      null,
      headNote(),
      columns.map(({ name, role, values, says: words }) =>
        vectorRow([symbol(name, role), h("span.row-note", {}, says(words))], values, { role, name: `${name}, ${says(words)}` }, depth)),
      vectorRow([symbol("terms", "score"), h("span.row-note", {}, "one for each component; their sum is the score")], terms, { role: "score", name: "terms of the score" }, depth),
      h(
        "p.formula.total",
        { "data-shown": "total" },
        "score = ",
        typeset(formula),
        deep
          ? ` = ${sumText(largestFew(terms, 5).map((i) => [fixed(terms[i]), rounded(terms[i])]), terms.length, "largest", total, offset ? [[`${fixed(offset)} (${run.kinds.attention.offset.symbol})`, rounded(offset)]] : [])}`
          : null,
        " = ",
        h("b", { "data-shown": "score" }, fixed(total)),
      ),
      check("score", total, recorded),
      more(
        app,
        "ledger",
        `The ledger: all ${terms.length} terms`,
        table(
          `Terms of the score of ${token.label} at step ${step + 1}`,
          ["i", ...columns.map(({ label, role }) => symbol(label, role)), symbol("term", "score"), "sum so far"],
          running(terms).map((soFar, i) => [i + 1, ...columns.map(({ values }) => exact(values[i])), number(terms[i], 7), number(soFar, 6)]),
          { scroll: "ledger" },
        ),
      ),
    );
  }

  function weightPart() {
    const { normalizer, scaling } = run.document.attention;
    const { selects, note: also } = run.kinds.attention ?? {};
    const title = h("span", {}, h("span.part-number", {}, "2"), "From scores to weights, at step ", step + 1);
    const scores = run.row(`attention.${layer}.scores`, step, head);
    const scaled = scaling !== undefined && scaling !== 1;
    const rule = {
      softmax: `The largest ${scaled ? "scaled score is subtracted from each of them" : "score is subtracted from each"}, and e is raised to the result; divided by their sum, these numbers are weights that sum to 1.`,
      sparsemax: "A threshold is subtracted from each score so that the rest sums to 1; scores below it get a weight of exactly 0.",
      entmax15: "A threshold is subtracted from half of each score and the rest is squared, so that the result sums to 1; scores below it get a weight of exactly 0.",
    }[normalizer];
    const note = !run.kinds.attention ? null : selects ? also : [rule, also].filter(Boolean).join(" ");
    const part = selects ? "p = σ(score)" : normalizer === "softmax" ? "exp(s − max)" : normalizer === "sparsemax" ? "max(s − τ, 0)" : "max(s/2 − τ, 0)²";
    const gaussian = run.row(`attention.${layer}.gaussian`, step, head);
    const best = argmax(weights);
    const { telling } = run;
    const rivals = weights[best] > 0.9 && telling !== step && Math.max(...run.weights(layer, telling, head)) < weights[best];
    return section(
      title,
      note,
      rivals && h("p.note", {}, `Here one ${run.unit} has nearly all the weight. `, h("button.link", { type: "button", "data-key": `${view.side} rivals`, onclick: () => app.set({ step: telling + 1 }) }, `At step ${telling + 1} it has rivals`)),
      h(
        "div.table-box.weights",
        weights.length > 24 ? { tabindex: 0, role: "group", "aria-label": "Scores and weights", "data-scroll": `${view.side} weights` } : {},
        h(
          "table.numbers",
          {},
          h("caption.hidden", {}, `Scores and weights of step ${step + 1}`),
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, run.unit), scores && h("th", { scope: "col" }, symbol("score", "score")),
            deep && scores && scaled && h("th", { scope: "col" }, `× ${number(scaling, 3)}`), deep && made && h("th", { scope: "col" }, part),
            deep && gaussian && h("th", { scope: "col" }, "bell"), h("th", { scope: "col" }, "weight"), h("td"))),
          h("tbody", {}, run.source.tokens.map((item, j) =>
            h("tr", { class: `${j === source ? "marked" : ""} ${j === best ? "best" : ""}` },
              h("th", { scope: "row" }, h("button.link", { type: "button", "data-key": `${view.side} weight ${j}`, onclick: () => app.set({ source: j + 1 }) }, h("bdi", {}, item.label))),
              scores && h("td", {}, number(scores[j], 3)),
              deep && scores && scaled && h("td", {}, number(made ? made.scaled[j] : scores[j] * scaling, 3)),
              deep && made && h("td", {}, number(made.parts[j], 4)),
              deep && gaussian && h("td", {}, number(gaussian[j], 3)),
              h("td", { "data-shown": "weight", "data-value": weights[j] }, h("b", {}, number(weights[j], 4))),
              h("td.bar-cell", {}, bar(weights[j]))))),
          deep && made && h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, "sum"), scores && h("td"), scores && scaled && h("td"),
            h("td", {}, selects ? "" : number(made.total, 4)), gaussian && h("td"), h("td", {}, h("b", {}, number(sum(weights), 4))), h("td"))),
        ),
      ),
      edited() ? h("p.note", {}, "The weights of this step were set by hand; the scores are those of the model.") : made ? checkAll("weights from scores", difference(made.weights, weights), weights.length) : scores && !run.kinds.attention ? h("p.note", {}, NO_FORMULA) : absent(run, `attention.${layer}.scores`, "The scores behind these weights"),
      check("sum of the weights", sum(weights), 1),
    );
  }

  function sumPart() {
    const title = h("span", {}, h("span.part-number", {}, "3"), "What is read: the sum of all values, each multiplied by its weight");
    const values = run.array(`attention.${layer}.values`);
    const recorded = run.row(`attention.${layer}.head_context`, step, head) ?? (run.heads === 1 ? run.row(`attention.${layer}.context`, step) : null);
    if (!values) return section(title, null, absent(run, `attention.${layer}.values`, "The values"));
    const rows = run.source.tokens.map((_, j) => run.row(`attention.${layer}.values`, head, j));
    const context = weightedSum(weights, rows);
    const order = [...weights.keys()].sort((a, b) => weights[b] - weights[a]);
    const shown = order.filter((j, rank) => rank < 8 && weights[j] > 0.005);
    const max = Math.max(largest(context), ...shown.map((j) => weights[j] * largest(rows[j])));
    const few = largestFew(weights, 4);
    const others = weights.length - few.length;
    const times = (j, i) => [`${fixed(weights[j])} × ${fixed(rows[j][i])}`, rounded(weights[j]) * rounded(rows[j][i])];
    const rest = shown.reduce((left, j) => left - rounded(weights[j]), sum(weights));
    const i = argmax(Array.from(context, Math.abs));
    const out = run.row(`attention.${layer}.context`, step);
    const { attention: kind } = run.kinds;
    return section(
      title,
      kind ? `The tokens with the largest weights come first. The value of a ${run.unit} is its encoder state${kind.projects ? ", multiplied by a matrix" : run.heads > 1 ? " or, for each head, a part of it" : " itself, h"}.` : null,
      h(
        "div.sum",
        {},
        shown.map((j) =>
          h("div.sum-row", { class: j === source ? "current" : "" },
            h("span.sum-weight", {}, fixed(weights[j]), " ×"),
            h("bdi.vector-token", {}, run.source.tokens[j].label),
            wave(Array.from(rows[j], (value) => value * weights[j]), { role: "value", name: `value of ${run.source.tokens[j].label} times its weight`, max }))),
        shown.length < rows.length ? h("p.list-foot", {}, `and ${rows.length - shown.length} more, with a total weight of ${fixed(rest)}`) : null,
        h("div.sum-row.total", {},
          h("span.sum-weight", {}, "sum ="),
          h("span.vector-token", {}, symbol("c", "value"), " context"),
          wave(context, { role: "value", name: "context", max, tall: true })),
      ),
      deep
        ? [h("p.note", {}, `Component ${i + 1}, the largest of the context, is worked out:`),
          h("p.formula", { "data-shown": "component" }, `c${subscript(i + 1)} = ${sumText(few.map((j) => times(j, i)), weights.length, "largest weights", context[i])} = ${fixed(context[i])}`)]
        : null,
      isLeftOut() ? h("p.note", {}, "This head is left out in this run: zeros take the place of its sum.") : recorded ? checkAll("context = Σ weight × value", difference(context, recorded), context.length, largest(recorded)) : absent(run, `attention.${layer}.head_context`, "The recorded sum of this head"),
      depth === "vectors" &&
        table("Every number of the context", ["i", ...few.map((j) => `${fixed(weights[j])} × ${run.source.tokens[j].label}`), ...(others ? [`the other ${others}`] : []), "c"],
          Array.from(context, (value, n) => {
            const terms = few.map((j) => weights[j] * rows[j][n]);
            const left = terms.reduce((rest, term) => rest - rounded(term), rounded(value));
            return [n + 1, ...terms.map(fixed), ...(others ? [fixed(left)] : []), fixed(value)];
          }), { scroll: "context" }),
      run.heads > 1 && out
        ? [h("p.note", {}, `The sums of all ${run.heads} heads, ${run.kinds.attention?.projects ? "concatenated and multiplied by a matrix, are" : "concatenated, are"} what the decoder receives:`),
          vectorRow([symbol("c", "value"), " of all heads"], out, { role: "value", name: "context of all heads" }, depth)]
        : null,
      Math.abs(norm(context)) < 1e-12 ? h("p.note", {}, "All numbers of this context are 0.") : null,
    );
  }
}

const pick = (members, current) => (members.includes(current) ? current : members[0]);

function running(terms) {
  let total = 0;
  return Array.from(terms, (term) => (total += term));
}

const subscript = (value) => [...String(value)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[Number(digit)]).join("");
