// The sentences of a longer text, to choose from.
import { h, number, visible } from "./dom.js";

/**
 * @param {import("./app.js").App} app
 * @returns {{box: any, update: () => void}|null} null where there is one sentence
 */
export function sentenceList(app) {
  const { overview: rows } = app.packed;
  if (!rows.length) return null;
  const buttons = rows.map(({ index, text, translation, score, kept }) =>
    h(
      "button.sentence",
      { type: "button", disabled: !kept, "data-key": `sentence ${index}`, onclick: () => app.open(index) },
      h("span.sentence-number", {}, index + 1),
      h("bdi.sentence-text", {}, visible(text)),
      h("bdi.sentence-said", {}, visible(translation)),
      h("span.sentence-score", {}, number(score, 3)),
      kept ? null : h("span.sentence-gone.row-note", {}, "not in this page"),
    ));
  const list = h("div.sentence-list", { role: "toolbar", "aria-label": "Sentences: choose one", "aria-orientation": "vertical", onkeydown: roam }, buttons);
  const box = h(
    "nav.sentences",
    { "aria-label": "Sentences" },
    h("div.sentence-head", { "aria-hidden": "true" }, h("span"), h("span", {}, "sentence"), h("span", {}, "translation"), h("span", { title: "log p, divided by the number of tokens to the power of the run's length penalty" }, "score")),
    list,
  );
  return { box, update };

  function update() {
    buttons.forEach((button, index) => {
      const chosen = index === app.sentence;
      button.setAttribute("aria-pressed", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    });
    const here = buttons[app.sentence];
    const [top, bottom] = [here.offsetTop, here.offsetTop + here.offsetHeight];
    if (top < list.scrollTop) list.scrollTop = top;
    else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
  }

  /** Arrow keys walk from sentence to sentence. */
  function roam(event) {
    const last = app.sentences.length - 1;
    const to = { ArrowDown: app.sentence + 1, ArrowUp: app.sentence - 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    if (to < 0 || to > last) return;
    app.open(to);
    buttons[to].focus();
  }
}
