// Other views of what mattered to the choice of a step, beside the weights. What each can say comes with its numbers.
import { h, number, s } from "../dom.js";
import { formulas } from "../formula.js";
import { section } from "../marks.js";

const ROLES = { weights: "score", weighted_norm: "value" };

export function otherViews(app, view) {
  const { run, step, source, depth } = view;
  if (!run.faithfulness) return null;
  const { views, absent, layer, head } = run.faithfulness;
  const all = Object.entries(views).map(([key, one]) => ({ key, ...one, now: one.values[step] }));
  const byToken = all.filter(({ now }) => Array.isArray(now));
  const byStep = all.filter(({ now }) => !Array.isArray(now));
  const digits = depth === "numbers" || depth === "vectors" ? 5 : 3;
  const parts = [run.layers.length > 1 && layer !== null ? `layer ${layer + 1}` : "", run.heads > 1 ? (head === null ? `the mean of ${run.heads} heads` : `head ${head + 1}`) : ""].filter(Boolean);
  const name = (key) => key.replaceAll("_", " ");
  const reasons = [...new Set(Object.values(absent))].map((why) => [why, Object.keys(absent).filter((key) => absent[key] === why)]);

  return section(
    "Other measures of what mattered",
    "Each column shows the same tokens, in sentence order. Every column has its own scale; bars to the left of the line are below 0, and the largest number is bold. The measures need not agree, and none of them is decisive.",
    parts.length ? h("p.note", {}, `Weights of ${parts.join(", ")}.`) : null,
    byToken.length ? h(
      "div.table-box.views",
      run.source.tokens.length > 24 ? { tabindex: 0, role: "group", "aria-label": "Other views, token by token", "data-scroll": `${view.side} views` } : {},
      h(
        "table.numbers",
        {},
        h("caption.hidden", {}, `Other views of step ${step + 1}, a row for each source token`),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "token"), byToken.map(({ title }) => h("th", { scope: "col" }, title)))),
        h("tbody", {}, run.source.tokens.map((token, j) =>
          h("tr", { class: j === source ? "marked" : "" },
            h("th", { scope: "row" }, h("button.link", { type: "button", "data-key": `${view.side} views ${j}`, onclick: () => app.set({ source: j + 1 }) }, h("bdi", {}, token.label))),
            byToken.map((one) => cell(one, j))))),
      ),
    ) : null,
    h("div.says", {}, byToken.map(words)),
    byStep.length ? [h("h4.says-head", {}, "For the step as a whole"), h("div.says.of-step", {}, byStep.map(words))] : null,
    reasons.map(([why, keys]) => h("p.absent", {}, `Absent, as ${why}: ${keys.map(name).join(", ")}.`)),
  );

  function cell({ key, now }, j) {
    const value = now[j];
    if (value === null) return h("td", { "data-view": key }, "–");
    const known = now.filter((each) => each !== null);
    return h("td", { "data-view": key, "data-value": value },
      h("div.measure", {}, fromZero(value, Math.min(0, ...known), Math.max(0, ...known), ROLES[key] ?? "ink"),
        h(value === Math.max(...known) ? "b" : "span", {}, brief(value, digits))));
  }

  function words({ title, formula, says, cannot_say: cannot, now }) {
    return h("div.saying", {},
      h("h4", {}, title, Array.isArray(now) ? null : h("span.saying-value", {}, now === null ? "–" : number(now, digits))),
      formulas(formula),
      h("p", {}, h("b", {}, "What it can show. "), says),
      h("p", {}, h("b", {}, "What it cannot show. "), cannot));
  }
}

/** A number in a narrow column: what is small but not zero as 7.4e−5. */
const brief = (value, digits) =>
  value !== 0 && Math.abs(value) < 0.5 * 10 ** -digits ? value.toExponential(1).replaceAll("-", "−") : number(value, digits);

/** A number as a bar to the right of zero, or to its left. */
function fromZero(value, low, high, role) {
  const size = high - low || 1;
  const place = (number) => ((number - low) / size) * 100;
  return s(
    `svg.bar.role-${role}`,
    { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect.track", { x: 0, y: 0, width: 100, height: 10 }),
    s("rect.bars", { x: place(Math.min(0, value)), y: 0, width: (Math.abs(value) / size) * 100, height: 10 }),
    low < 0 && s("line.zero", { x1: place(0), x2: place(0), y1: 0, y2: 10 }),
  );
}
