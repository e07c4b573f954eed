// The sentences of a longer text, to choose from.
import { h, number, visible } from "./dom.js";

/**
 * @param {import("./app.js").App} app
 * @returns {{box: any, update: () => void}|null} null where there is one sentence, and will be
 */
export function sentenceList(app) {
  if (!app.packed.overview.length && !app.packed.make) return null;
  let told = []; // what the buttons tell
  let buttons = [];
  const list = h("div.sentence-list", { role: "toolbar", "aria-label": "Sentences: choose one", "aria-orientation": "vertical", onkeydown: roam });
  const box = h(
    "nav.sentences",
    { "aria-label": "Sentences" },
    h("div.sentence-head", { "aria-hidden": "true" }, h("span"), h("span", {}, "sentence"), h("span", {}, app.packed.models ? `translation by ${app.packed.models[0]}, and beneath it by ${app.packed.models[1]}` : "translation"), h("span", { title: "log p, divided by the number of tokens to the power of the run's length penalty" }, "score")),
    list,
  );
  return { box, update };

  /** @param {any} row `second` is the translation of a second model */
  function button({ index, text, translation, second, score, kept, note = "not in this page" }) {
    return h(
      "button.sentence",
      { type: "button", disabled: !kept, "data-key": `sentence ${index}`, onclick: () => app.open(index) },
      h("span.sentence-number", {}, index + 1),
      h("bdi.sentence-text", {}, visible(text)),
      second === undefined
        ? h("bdi.sentence-said", {}, translation && visible(translation))
        : h("span.sentence-said", {}, [translation, second].map((said, model) => h("bdi", { class: model ? "sentence-second" : "", "data-by": app.packed.models[model] }, visible(said)))),
      h("span.sentence-score", {}, score === null ? "" : number(score, 3)),
      kept ? null : h("span.sentence-gone.row-note", {}, note),
    );
  }

  function update() {
    const { overview: rows } = app.packed;
    box.hidden = !rows.length;
    if (rows.length !== told.length) list.replaceChildren(...(buttons = rows.map(button)));
    else rows.forEach((row, index) => {
      if (row === told[index]) return;
      const changed = button(row);
      buttons[index].replaceWith(changed);
      buttons[index] = changed;
    });
    told = [...rows];
    buttons.forEach((each, index) => {
      const chosen = index === app.sentence;
      each.setAttribute("aria-pressed", String(chosen));
      each.tabIndex = chosen ? 0 : -1;
    });
    const here = buttons[app.sentence];
    if (!here) return;
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
    if (to < 0 || to > last || buttons[to].disabled) return;
    app.open(to);
    buttons[to].focus();
  }
}
