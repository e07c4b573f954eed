import { h, number, percent, s, visible } from "../dom.js";
import { argmax } from "../math.js";
import { sayAnother } from "./changes.js";
import { looked } from "../media/places.js";
import { bar, check, section, table } from "../marks.js";

/** The last chapter: the word is told again; all steps; the beams; the runs with something changed. */
export function loop(app, view) {
  const { run, step } = view;
  const { run: settings, beams } = run.document;
  const total = run.steps.reduce((sum, { choice }) => sum + choice.log_probability, 0);
  const score = total / run.steps.length ** settings.length_penalty;
  const digits = view.depth === "numbers" || view.depth === "vectors" ? 6 : 4;
  return [
    section("Every step, from the start token to the end", "Each chosen word is the input of the next step. Choose a step to go there.", film(), sayAnother(app, view)),
    section(
      `The whole ${run.made.toLowerCase()}`,
      null,
      h("p.formula", {}, `log p = ${run.steps.map(({ choice }) => choice.log_probability.toFixed(digits).replace("-", "−")).join(" + ").replaceAll("+ −", "− ")} = ${total.toFixed(digits).replace("-", "−")}`),
      settings.score === null || settings.score === undefined
        ? null
        : [settings.length_penalty && run.steps.length > 1 ? h("p.formula", {}, `score = log p ÷ ${run.steps.length}${settings.length_penalty === 1 ? "" : ` to the power of ${settings.length_penalty}`} = ${number(score, 4)}`) : null,
          run.document.run.num_beams === 1 || !processed() ? check("score", score, settings.score, settings.num_beams > 1 ? 1e-4 : 1e-5) : null],
    ),
    beams ? section("Beam search: what was kept and what was dropped", `${beams.num_beams} partial ${run.input ? "texts" : "translations"} are kept side by side. Lines lead from each of them to the words tried next.`, tree(app, view, beams)) : null,
    app.children(view),
  ];

  function processed() {
    return run.steps.some(({ processed }) => processed.length);
  }

  function film() {
    return h(
      "div.film",
      {},
      run.steps.map((entry, t) => {
        const weights = run.attends ? run.weights(view.layer, t, view.head) : null;
        const best = weights ? argmax(weights) : -1;
        return h(
          "button.frame",
          {
            type: "button",
            class: t === step ? "current" : "",
            "aria-pressed": String(t === step),
            "data-key": `${view.side} frame ${t}`,
            onclick: () => app.set({ step: t + 1 }),
          },
          h("span.frame-step", {}, t + 1),
          h("span.frame-fed", {}, h("span.tiny-label", {}, "told"), h("bdi", {}, run.word(entry.fed.token))),
          weights
            ? h("span.frame-look", {}, h("span.tiny-label", {}, run.input?.kind === "audio" ? "listened to" : "looked most at"), run.input ? h("span", {}, looked(run, weights)) : [h("bdi", {}, run.source.tokens[best].label), h("span.share", {}, percent(weights[best]))])
            : null,
          h("span.frame-chose", {}, h("span.tiny-label", {}, "chose"), h("b", {}, h("bdi", {}, run.word(entry.choice.token))), bar(entry.choice.probability), h("span.share", {}, percent(entry.choice.probability))),
        );
      }),
    );
  }
}

const SIGNS = { kept: "●", dropped: "×", finished: "■" };

/** The beam search as a tree from left to right: a column a step, words under each other by their sums. */
function tree(app, view, beams) {
  const { run } = view;
  const [columnWidth, rowHeight, top] = [168, 30, 34];
  const deepest = Math.max(...beams.steps.map(({ hypotheses }) => hypotheses.length));
  const [width, height] = [columnWidth * beams.steps.length + 80, top + rowHeight * deepest + 8];
  const placed = beams.steps.map(({ hypotheses }, t) =>
    [...hypotheses].sort((a, b) => b.sum - a.sum).map((hypothesis, index) => ({ ...hypothesis, x: 84 + t * columnWidth, y: top + rowHeight * index + 14 })));
  const links = [];
  const words = [];
  placed.forEach((column, t) => {
    words.push(s("text.tree-step", { x: column[0]?.x ?? 0, y: 16 }, `step ${t + 1}`));
    const names = run.words(column.map(({ token }) => token));
    for (const [index, item] of column.entries()) {
      const parent = t ? placed[t - 1].find(({ row, state }) => state === "kept" && row === item.parent) : { x: 0, y: top + 14, width: 40 };
      if (parent) {
        const x0 = t ? parent.x + 124 : 46;
        links.push(s("path.link", { d: `M${x0} ${parent.y}C${(x0 + item.x) / 2} ${parent.y} ${(x0 + item.x) / 2} ${item.y} ${item.x - 8} ${item.y}`, class: `${item.state}${item.best ? " best" : ""}` }));
      }
      const text = names[index];
      words.push(
        s(
          "g.hypothesis",
          { class: `${item.state}${item.best ? " best" : ""}` },
          s("title", {}, `${text}: ${item.state}, log p ${number(item.log_probability, 4)}, sum ${number(item.sum, 4)}${item.score === null ? "" : `, score ${number(item.score, 4)}`}`),
          s("text.sign", { x: item.x, y: item.y + 4 }, SIGNS[item.state]),
          s("text", { x: item.x + 14, y: item.y + 4 }, text.length > 11 ? `${text.slice(0, 10)}…` : text),
          s("text.tree-sum", { x: item.x + 118, y: item.y + 4, "text-anchor": "end" }, number(item.sum, 1)),
        ),
      );
    }
  });
  return [
    h("p.legend", {}, h("span", {}, "● kept"), h("span", {}, "× dropped"), h("span", {}, "■ finished"), h("span", {}, h("b", {}, "bold"), ": the path to the result"), h("span", {}, "number: sum of log p so far"),
      placed.some((column) => run.words(column.map(({ token }) => token)).some((text) => text.includes("␣"))) && h("span", {}, "␣ a space")),
    h(
      "div.tree-box",
      { tabindex: 0, role: "group", "aria-label": "Beam tree; a table with the same content follows", "data-scroll": "tree" },
      s("svg.tree", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, links,
        s("text.start", { x: 6, y: top + 18 }, visible(run.document.start.token)), words),
    ),
    h("details.more", { open: app.opened.has("beams"), ontoggle: (event) => (event.target.open ? app.opened.add("beams") : app.opened.delete("beams")) },
      h("summary", { "data-key": "more beams" }, "Show as a table"),
      table(
        "Hypotheses of the beam search",
        ["step", "after beam", "word", "log p", "sum", "score", "state"],
        beams.steps.flatMap(({ hypotheses }, t) => hypotheses.map((item) => [
          t + 1, item.parent === null || t === 0 ? "start" : item.parent + 1, h("bdi", {}, run.piece(item.token)), number(item.log_probability, 4), number(item.sum, 4),
          item.score === null ? "" : number(item.score, 4), `${item.state}${item.best ? ", on the path to the result" : ""}`,
        ])),
        { scroll: "beam table" },
      )),
  ];
}
