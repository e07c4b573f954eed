// What a reader can change where the model is in the page: it decodes again, and before stands beside after. `app.packed.changes`
// does it; a page of saved traces has none, and offers nothing of this.
import { changesOf, leftOut, reached, tellChange } from "../changed.js";
import { h, percent } from "../dom.js";

/** The row of a candidate, with a button that says it at its step; of the one that was said, and of all others (null), without. */
export function sayInstead(app, view, item, name, row) {
  const { changes } = app.packed;
  const { run, step, number, side } = view;
  if (!changes) return row;
  const said = item?.id === run.steps[step].choice.id;
  return h("div.candidate-line", {}, row, item && !said ? h("button.option.say", {
    type: "button", "aria-label": `say it: “${name}” at step ${step + 1}`, title: `say “${name}” here, and let the model go on`, "data-key": `${side} say ${item.id}`,
    onclick: () => put(app, async () => changes.say(app.runs, number, step, item), view),
  }, "say it") : null);
}

/** A field for a word that is no candidate, or null. */
export function sayAnother(app, view) {
  const { changes } = app.packed;
  if (!changes) return null;
  const { run, step } = view;
  const field = h("input.word-field", { type: "text", maxlength: 200, autocomplete: "off", spellcheck: "false", "data-key": `${view.side} another word` });
  const told = h("p.told", { role: "alert" });
  return h("form.say-another", {
    onsubmit: (event) => {
      event.preventDefault();
      told.textContent = "";
      put(app, async () => changes.say(app.runs, view.number, step, field.value), view, (sentence) => (told.textContent = sentence));
    },
  },
  h("label", {}, "At step ", step + 1, ", instead of ", h("bdi.quoted", {}, run.target.tokens[step].label), ", say ", field),
  h("button.option", { "data-key": `${view.side} say another` }, "decode again"), told);
}

/** Which heads of a layer are left out, or null. */
export function headsLeftOut(app, view) {
  const { changes } = app.packed;
  const { run, layer, number } = view;
  if (!changes || run.heads < 2) return null;
  const { document } = changes.current(app.runs, number);
  const out = leftOut(document, layer);
  const of = (head) => changesOf(document).findIndex(({ kind, layers, heads }) => kind === "heads" && layers.includes(layer) && heads.includes(head));
  return h("div.choice", { role: "group", "aria-label": `Heads of layer ${layer + 1} to leave out` },
    h("span.choice-label", { "aria-hidden": "true" }, run.layers.length > 1 ? `Leave out, in layer ${layer + 1},` : "Leave out"),
    Array.from({ length: run.heads }, (_, head) => {
      const gone = out.includes(head);
      return h("button.option", {
        type: "button", "aria-pressed": String(gone), disabled: !gone && out.length === run.heads - 1, "data-key": `${view.side} leave out ${head}`,
        onclick: () => put(app, () => (gone ? changes.takeBack(app.runs, number, of(head)) : changes.leaveOut(app.runs, number, layer, head)), view),
      }, `head ${head + 1}`);
    }));
}

/** What was changed, a line each, and the way back; null where nothing was. */
export function changedBar(app) {
  const { changes, models } = app.packed;
  const lines = changes
    ? app.runs.flatMap((run, number) => (run.parent === null ? [] : changesOf(run.document).map((change, index) => ({ run, number, change, index }))))
    : [];
  if (!lines.length && !changes?.note) return null;
  const line = ({ run, number, change, index }) => h("li", {},
    h("span", {}, models ? [app.runs[run.parent].name, ": "] : null, h("b", {}, tellChange(change, run)),
      reached(run.document, change) ? null : h("span.row-note", {}, `, without effect: the translation ends at step ${run.steps.length}`)),
    h("button.option", { type: "button", "aria-label": `put back: ${tellChange(change, run)}`, "data-key": `back ${number} ${index}`,
      onclick: () => put(app, () => changes.takeBack(app.runs, number, index), { run, number }) }, "put back"));
  return h("div.changed", { role: "status" },
    lines.length ? [h("span", {}, "Changed"), h("ol", {}, lines.map(line))] : null,
    lines.length > 1 ? h("button.option", { type: "button", "data-key": "back", onclick: () => app.change(null) }, "put all back") : null,
    changes.note ? h("p.row-note", {}, changes.note) : null);
}

/** What a changed run says, beside what was said before. */
export function decodedAgain(app, view, made) {
  const { run, step, number } = view;
  const [before, after] = [run.steps[step].choice, made.steps[step].choice];
  const parting = made.target.tokens.findIndex(({ id }, index) => id !== run.target.tokens[index]?.id);
  const same = parting < 0 && made.steps.length === run.steps.length;
  const kept = parting < 0 ? made.target.text.length : [...made.target.text].slice(0, made.target.tokens[parting].span?.[0]).join("").length;
  const share = made.steps[step].candidates.find(({ id }) => id === before.id)?.probability;
  const word = run.target.tokens[step].label;
  return [
    h("dl.before-after", {},
      h("dt", {}, "before"), h("dd", {}, h("bdi", {}, run.target.text)),
      h("dt", {}, "now"), h("dd", {}, h("bdi", {}, made.target.text.slice(0, kept), h("b", {}, made.target.text.slice(kept))))),
    h("p.note", {}, same ? "The model decoded again from this step: the translation stays as it was. " : "The model decoded again from this step. ",
      h("bdi", {}, `“${word}”`), ` has a probability of ${percent(before.probability)} before, and `,
      share === undefined ? `is not among the ${made.steps[step].candidates.length} likeliest words now` : `${percent(share)} now`,
      after.id === before.id ? "." : [", where ", h("bdi", {}, `“${made.target.tokens[step].label}”`), ` has ${percent(after.probability)}.`]),
    h("button.option", { type: "button", "data-key": `${view.side} look at both`, onclick: () => app.runs[number] === run && app.change(made, made.parent) }, "keep this, side by side"),
  ];
}

/** Shows a run beside the one that it was made from, unless the page has gone on to others. */
async function put(app, make, { run, number }, tell = (sentence) => app.note(sentence)) {
  try {
    const made = await make();
    if (made !== undefined && app.runs?.[number] === run) app.change(made, run.parent ?? number);
  } catch (error) {
    tell(error.message);
  }
}
