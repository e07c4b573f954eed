// Weights of one step, changed by hand: the context is recomputed here; the words after it where the model is in the page.
import { h, number } from "../dom.js";
import { difference, dot, norm, weightedSum } from "../math.js";
import { choice, section, symbol, wave } from "../marks.js";
import { decodedAgain } from "./changes.js";

const MOST_SLIDERS = 16;

export function whatIf(app, view, head) {
  const { run, layer, step, source } = view;
  const title = "What if it had looked elsewhere?";
  if (!run.array(`attention.${layer}.values`)) return null;
  const original = Array.from(run.weights(layer, step, head));
  const rows = original.map((_, j) => run.row(`attention.${layer}.values`, head, j));
  const before = weightedSum(original, rows);
  const key = `${view.side} ${view.number} ${layer} ${step} ${head}`;
  let weights = app.edits.get(key) ?? [...original];
  const token = run.source.tokens[source].label;
  const { changes } = app.packed;
  let asked = false; // whether the model decodes again for these weights
  const answer = changes && h("div.answer", { role: "status" });

  // Of many frames or patches, only those that matter most, and the chosen one.
  const order = [...original.keys()].sort((a, b) => original[b] - original[a]);
  const listed = new Set(run.input && original.length > MOST_SLIDERS ? [...order.slice(0, MOST_SLIDERS - 1), source] : original.keys());
  const sliders = [...listed].sort((a, b) => a - b).map((j) => {
    const input = h("input.slider", {
      type: "range", min: 0, max: 1000, step: 1,
      "aria-label": `weight of ${run.source.tokens[j].label}`,
      "data-key": `${view.side} slider ${j}`,
      oninput: (event) => change(j, Number(event.target.value) / 1000),
    });
    const shown = h("output.share");
    return { j, input, shown, row: h("label.slider-row", {}, h("bdi.vector-token", {}, run.source.tokens[j].label), input, shown) };
  });
  const result = h("div.result", { "aria-live": "polite" });
  update();

  return section(
    title,
    `Change the weights of this step. They always sum to 1: what one ${run.unit} gains, the others lose.${listed.size < original.length ? ` Shown: the ${listed.size} ${run.units} with the largest weights, and the chosen one.` : ""}`,
    h(
      "div.choice",
      {},
      h("button.option", { type: "button", "data-key": `${view.side} uniform`, onclick: () => put(original.map(() => 1 / original.length)) }, "all alike"),
      h("button.option", { type: "button", "data-key": `${view.side} only`, onclick: () => put(original.map((_, j) => Number(j === source))) }, "only ", h("bdi", {}, `“${token}”`)),
      h("button.option", { type: "button", "data-key": `${view.side} reset`, onclick: () => put([...original]) }, "as it was"),
    ),
    changes && run.layers.length > 1
      ? choice("Set them in", [[false, `layer ${layer + 1}`], [true, "every layer"]], Boolean(app.everyLayer), (every) => app.show({ everyLayer: every }), `${view.side} set in`)
      : null,
    changes && run.heads > 1 ? h("p.note", {}, `These are the weights of head ${head + 1}; the model goes on with what you set in all heads.`) : null,
    h("div.what-if", {}, h("div.sliders", { "data-scroll": "sliders" }, sliders.map(({ row }) => row)), answer ? h("div.result", {}, answer, result) : result),
    changes ? null : app.children(view, true),
  );

  function change(j, weight) {
    const others = 1 - weights[j];
    put(weights.map((old, k) => (k === j ? weight : others > 1e-9 ? (old * (1 - weight)) / others : (1 - weight) / (weights.length - 1 || 1))), j);
  }

  function put(changed, moving = -1) {
    weights = changed.length === 1 ? [1] : changed;
    app.edits.set(key, weights);
    update(moving);
  }

  function update(moving = -1) {
    sliders.forEach(({ j, input, shown }) => {
      if (j !== moving) input.value = Math.round(weights[j] * 1000);
      const share = `${(weights[j] * 100).toFixed(1)} %`; // whole percents of equal weights need not add up to 100
      input.setAttribute("aria-valuetext", share);
      shown.textContent = share;
    });
    const context = weightedSum(weights, rows);
    const changed = difference(weights, original) > 1e-6;
    const away = norm(context.map((value, i) => value - before[i])) / (norm(before) || 1);
    const similar = dot(context, before) / (norm(context) * norm(before) || 1);
    result.replaceChildren(
      h("p.tiny-label", {}, changed ? "the context with your weights; the outline is the context as it was" : "the context as it was"),
      wave(context, { role: "value", name: "context with your weights", tall: true, ghost: changed ? before : undefined }),
      changed
        ? h("p.formula", { "data-shown": "edited" }, symbol("c′", "value"), " differs from ", symbol("c", "value"), `: the norm of their difference is ${number(away, 2)} times the norm of `, symbol("c", "value"), `; the cosine between them is ${number(similar, 3)}.`)
        : h("p.note", {}, "Nothing has been changed yet."),
      changed && !changes ? h("p.warning", {}, h("b", {}, "Recomputed in this page, up to the context. "), "The words after it were not re-decoded.") : "",
    );
    if (changes) decode(changed);
  }

  async function decode(changed) {
    if (!changed) {
      if (asked) changes.forget();
      asked = false;
      answer.replaceChildren();
      return;
    }
    asked = true;
    const made = await changes.weigh(app.runs, view.number, step, app.everyLayer ? run.layers : [layer], weights).catch((error) => {
      answer.replaceChildren(h("p.told", {}, error.message));
    });
    if (made) answer.replaceChildren(...decodedAgain(app, view, made));
  }
}
