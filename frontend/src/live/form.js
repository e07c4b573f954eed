// The form at the top of the live page: the text, how it is to be translated, and what came of it.
import { h, visible, whole } from "../dom.js";
import { Refusal } from "./files.js";

/**
 * @param {any} settings what the export wrote into the page
 * @param {HTMLElement} page where the runs are shown
 */
export function makeForm(settings, page) {
  const text = h("textarea", { id: "text", rows: 2, spellcheck: "false", autocomplete: "off", "aria-describedby": "said" });
  const given = h("input", { id: "given", type: "text", autocomplete: "off", spellcheck: "false" });
  const bar = h("progress", { max: 1, value: 0, "aria-label": "loading the model" });
  const said = h("p.said", { id: "said", role: "status" });
  const earlier = h("p.earlier", { hidden: true });
  text.value = settings.example;
  const box = h("form.ask", { "aria-label": "Your text", onsubmit: (event) => event.preventDefault() },
    h("div.field", {}, h("label", { for: "text" }, "Your text"), text),
    h("div.field", {}, h("label", { for: "given" }, "A translation for the model to follow, if you want"), given),
    bar, said, earlier);
  const question = () => ({ text: text.value, given: given.value });
  tell("Loading the model …");
  return { box, question, connect, answered, failed, progress: (share) => (bar.value = share) };

  /** @param {import("./asking.js").Asking} asking */
  function connect(asking) {
    bar.remove();
    for (const field of [text, given]) {
      field.addEventListener("input", (event) => {
        // While letters are composed, what stands there is no text yet.
        if (!event.isComposing) asking.edit({ ...question(), chosen: asking.at(text.value, text.selectionStart) });
      });
      field.addEventListener("compositionend", () => asking.edit(question()));
    }
  }

  function answered({ rows, took }) {
    const translation = rows.map(({ translation }) => visible(translation)).join(" ");
    tell(`${translation} (${whole(Math.round(took))} ms, in this browser)`);
    page.classList.remove("earlier-text");
    earlier.hidden = true;
  }

  /** Tells why there is no answer, and whose the pictures are that stay. @param {string|null} shown */
  function failed(error, shown = null) {
    bar.remove();
    if (!(error instanceof Refusal)) console.warn(error);
    tell(error instanceof Refusal ? error.message : `The model could not be run here (${String(error.message ?? error).split("\n")[0]}): reload the page, or try a shorter text.`, true);
    page.classList.toggle("earlier-text", shown !== null);
    earlier.hidden = shown === null;
    if (shown !== null) earlier.textContent = `Below is still: “${shown}”`;
  }

  function tell(sentence, wrong = false) {
    said.classList.toggle("wrong", wrong);
    said.textContent = sentence;
  }
}
