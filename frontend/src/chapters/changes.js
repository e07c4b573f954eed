// What a reader can change where the model is in the page: it decodes again, and before stands beside after. `app.packed.changes`
// does it; a page of saved traces has none, and offers nothing of this.
import { h, percent } from "../dom.js";

/** The row of a candidate, with a button that says it at its step; of the one that was said, and of all others (null), without. */
export function sayInstead(app, view, item, name, row) {
  const { changes } = app.packed;
  const { run, step, number, side } = view;
  if (!changes?.open(run)) return row;
  const said = item?.id === run.steps[step].choice.id;
  return h("div.candidate-line", {}, row, item && !said ? h("button.option.say", {
    type: "button", "aria-label": `say it: “${name}” at step ${step + 1}`, title: `say “${name}” here, and let the model go on`, "data-key": `${side} say ${item.id}`,
    onclick: () => put(app, changes.say(app.runs, number, step, item), view),
  }, "say it") : null);
}

/** A field for a word that is no candidate, or null. */
export function sayAnother(app, view) {
  const { changes } = app.packed;
  if (!changes?.open(view.run)) return null;
  const { run, step } = view;
  const field = h("input.word-field", { type: "text", maxlength: 200, autocomplete: "off", spellcheck: "false", "data-key": `${view.side} another word` });
  const told = h("p.told", { role: "alert" });
  return h("form.say-another", {
    onsubmit: (event) => {
      event.preventDefault();
      told.textContent = "";
      attempt(told, () => put(app, changes.say(app.runs, view.number, step, field.value), view));
    },
  },
  h("label", {}, "At step ", step + 1, ", instead of ", h("bdi.quoted", {}, run.target.tokens[step].label), ", say ", field),
  h("button.option", { "data-key": `${view.side} say another` }, "decode again"), told);
}

/** Which heads of a layer are left out, or null. */
export function headsLeftOut(app, view) {
  const { changes } = app.packed;
  const { run, layer } = view;
  if (!changes || run.heads < 2) return null;
  const change = run.document.what_if;
  const of = change?.kind === "heads" ? run.parent : view.number;
  const out = change?.kind === "heads" && change.layers.includes(layer) ? change.heads : [];
  return h("div.choice", { role: "group", "aria-label": `Heads of layer ${layer + 1} to leave out` },
    h("span.choice-label", { "aria-hidden": "true" }, run.layers.length > 1 ? `Leave out, in layer ${layer + 1},` : "Leave out"),
    Array.from({ length: run.heads }, (_, head) => {
      const wanted = out.includes(head) ? out.filter((each) => each !== head) : [...out, head].sort((one, other) => one - other);
      return h("button.option", {
        type: "button", "aria-pressed": String(out.includes(head)), disabled: wanted.length === run.heads, "data-key": `${view.side} leave out ${head}`,
        onclick: () => (wanted.length ? put(app, changes.leaveOut(app.runs, of, layer, wanted), view) : app.change(null)),
      }, `head ${head + 1}`);
    }));
}

/** What was changed, and the way back; null where nothing was. */
export function changedBar(app) {
  const made = app.packed.changes && app.runs.find(({ parent }) => parent !== null);
  if (!made) return null;
  return h("p.changed", { role: "status" },
    h("span", {}, "Changed: ", h("b", {}, made.name), "."),
    h("button.option", { type: "button", "data-key": "back", onclick: () => app.change(null) }, "back to how it was"));
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
    h("button.option", { type: "button", "data-key": `${view.side} look at both`, onclick: () => app.runs[number] === run && app.change(made) }, "look at both, side by side"),
  ];
}

/** Shows a run beside the one that it was made from, unless the page has gone on to others. */
async function put(app, making, { run, number }) {
  const made = await making;
  if (made && app.runs?.[number] === run) app.change(made);
}

async function attempt(told, act) {
  try {
    await act();
  } catch (error) {
    told.textContent = error.message;
  }
}
