import { exact, fixed, h, number, percent, rounded } from "../dom.js";
import { dot, sum } from "../math.js";
import { sayAnother, sayInstead } from "./changes.js";
import { absent, bar, check, largestFew, more, section, sumText, symbol, table, vectorRow } from "../marks.js";
import { readoutByRow } from "./worked.js";

/** Choice and stop: the candidates, the logit of one of them, the choice, the stop. */
export function choiceAndStop(app, view) {
  const { run, step, depth } = view;
  const entry = run.steps[step];
  const { candidates, choice, stop } = entry;
  const chosen = candidates.findIndex(({ id }) => id === choice.id);
  const index = Math.min(app.candidate ?? chosen, candidates.length - 1);
  const candidate = candidates[Math.max(index, 0)];
  const names = run.words(candidates.map(({ token }) => token));
  const name = (item) => names[candidates.findIndex(({ id }) => id === item.id)] ?? run.word(item.token);
  const deep = depth === "numbers" || depth === "vectors";
  const row = (item) =>
    h(
      "button.candidate",
      {
        type: "button",
        class: [item.id === choice.id && "chosen", item.id === candidate.id && "current"].filter(Boolean).join(" "),
        "aria-pressed": String(item.id === candidate.id),
        "data-key": `${view.side} candidate ${item.id}`,
        "data-probability": item.probability,
        onclick: () => app.show({ candidate: candidates.indexOf(item) }),
      },
      h("bdi.candidate-token", {}, name(item), item.id === choice.id && h("span", { "aria-hidden": "true" }, " ✓")),
      h("span.hidden", {}, `${item.id === choice.id ? " chosen" : ""}, probability `),
      bar(item.probability),
      h("span.share", {}, deep ? number(item.probability, 5) : percent(item.probability)),
      deep ? [h("span.hidden", {}, ", logit "), h("span.logit", {}, number(item.logit, 4))] : null,
    );
  const { rest } = entry;
  return [
    section(
      "The most likely next words",
      choice.forced
        ? "The word of this step was given beforehand; the bars show how likely the model finds it."
        : choice.rank ? `The chosen word is number ${choice.rank + 1} in the model's ranking.` : null,
      deep ? h("p.candidate-head", { "aria-hidden": "true" }, h("span", {}, "word"), h("span"), h("span", {}, "probability"), h("span", {}, candidate.pointer ? "log p" : "logit")) : null,
      h("div.candidates", { class: deep ? "deep" : "" }, candidates.map((item) => sayInstead(app, view, item, name(item), row(item))),
        sayInstead(app, view, null, "", h("div.candidate.rest", {}, h("span.candidate-token", {}, "all others"), bar(rest), h("span.share", {}, deep ? number(Math.max(rest, 0), 5) : percent(Math.max(rest, 0)))))),
      sayAnother(app, view),
      entry.processed.length ? processors() : null,
    ),
    section(
      h("span", {}, "Where the score of ", h("bdi.quoted", {}, name(candidate)), " comes from"),
      candidate.pointer?.logit === null ? null : "The last vector of the step is multiplied, component by component, with the row of the word; the sum is the logit.",
      ...(candidate.pointer?.logit === null ? [] : logit()),
      ...(candidate.pointer ? mixture() : []),
    ),
    readoutByRow(view),
    section("Is this the end?", null, ending()),
  ];

  function processors() {
    return table(
      "What the logits processors of generate() changed",
      ["word", "score before", "score after"],
      entry.processed.map(({ token, before, after }) => [h("bdi", {}, run.word(token)), number(before, 4), after === null ? "−∞ (forbidden)" : number(after, 4)]),
    );
  }

  function logit() {
    const hidden = run.row("output.hidden", step);
    const place = (run.document.output_ids ?? []).indexOf(candidate.id);
    const weights = place >= 0 ? run.row("output.rows", place) : null;
    const { logit: told, written } = candidate.pointer ?? { logit: candidate.logit, written: candidate.probability };
    const { logsumexp } = candidate.pointer ? entry.pointer : entry;
    const probability = Math.exp(told - logsumexp);
    const softmax = [
      h("p.formula", {}, `${candidate.pointer ? "written" : "p"} = exp(logit − log Σ exp) = exp(${number(told, 4)} − ${number(logsumexp, 4)}) = ${number(probability, 6)}`),
      check(candidate.pointer ? "written" : "probability", probability, written),
    ];
    if (!hidden || !weights) return [absent(run, hidden ? "output.rows" : "output.hidden", "The vectors behind this logit"), ...softmax];
    const bias = run.array("output.bias")?.data[place] ?? 0;
    const terms = Float64Array.from(hidden, (value, i) => value * weights[i]);
    const total = dot(hidden, weights) + bias;
    return [
      vectorRow([symbol("r", "ink"), " last vector of the step"], hidden, { name: "output hidden vector" }, depth),
      vectorRow([symbol("W", "ink"), h("sub", {}, h("bdi", {}, name(candidate))), " the row of the word"], weights, { name: `output row of ${name(candidate)}` }, depth),
      vectorRow([symbol("r W", "score"), " their products"], terms, { role: "score", name: "terms of the logit" }, depth),
      deep
        ? h("p.formula", { "data-shown": "logit" }, `logit = ${sumText(largestFew(terms, 5).map((i) => [fixed(terms[i]), rounded(terms[i])]), terms.length, "largest", total, bias ? [[`${fixed(bias)} (bias)`, rounded(bias)]] : [])} = ${fixed(total)}`)
        : null,
      check("logit = Σ row × vector" + (bias ? " + bias" : ""), total, told),
      ...softmax,
      depth === "vectors"
        ? more(app, "logit terms", "Every term", table("Terms of the logit", ["i", "r", "W", "r W"], Array.from(terms, (term, i) => [i + 1, exact(hidden[i]), exact(weights[i]), number(term, 6)]), { scroll: "logit" }))
        : null,
    ];
  }

  /** What is copied, and both shares together. */
  function mixture() {
    const { written, copied, logit: told } = candidate.pointer;
    const { p_gen: share } = entry.pointer;
    const weights = run.row("pointer.weights", step);
    const places = run.source.tokens.flatMap(({ id }, place) => (id === candidate.id ? [place] : []));
    const read = weights && places.map((place) => weights[place]);
    const probability = share * written + (1 - share) * copied;
    return [
      told === null ? h("p.note", {}, "This word is not in the vocabulary: it can only be copied from the source.") : null,
      h("p.formula", {}, read?.length
        ? `copied = the weights where the word stands = ${read.length > 1 ? `${read.map((weight) => number(weight, 6)).join(" + ")} = ` : ""}${number(sum(read), 6)}`
        : `copied = ${number(copied, 6)}${places.length ? "" : ": the word is not in the source"}`),
      read ? check("copied", sum(read), copied) : null,
      h("p.formula", {}, `p = p_gen × written + (1 − p_gen) × copied = ${number(share, 4)} × ${number(written, 6)} + ${number(1 - share, 4)} × ${number(copied, 6)} = ${number(probability, 6)}`),
      check("probability", probability, candidate.probability),
    ];
  }

  function ending() {
    if (stop.is_end) return h("p.verdict", {}, h("b", {}, "Yes. "), h("bdi.quoted", {}, name(choice)), ` is the end token: the ${run.made.toLowerCase()} is complete.`);
    if (stop.at_limit) return h("p.verdict", {}, h("b", {}, "No, but it stops here. "), `The limit is ${run.document.run.max_new_tokens} tokens, and this is the last one.`);
    if (step === run.steps.length - 1) return h("p.verdict", {}, h("b", {}, "It stops here. "), "The text ends with this word.");
    return h("p.verdict", {}, h("b", {}, "No. "), h("bdi.quoted", {}, name(choice)), ` is not the end token: step ${step + 2} follows.`);
  }
}
