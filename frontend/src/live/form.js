// The form at the top of the live page: the text, how it is to be translated, and what came of it.
import { h, whole } from "../dom.js";
import { choice } from "../marks.js";
import { Refusal } from "./files.js";

const BEAMS = [1, 2, 3, 4, 5];
const SHORT = 60; // characters of a text, where it is only named

/** A file of the page, in words. */
function whatIs(name) {
  if (name.endsWith(".safetensors")) return "the weights of the model";
  if (name.endsWith(".onnx")) return "the steps that the model computes";
  if (name.endsWith(".json")) return "the vocabulary";
  return name.startsWith("runtime") ? "ONNX Runtime, which runs the model" : "the rules that part sentences";
}

/** What is to be said of a text in letters that the tokenizer hardly knows; else empty. */
function strange({ source: { text, tokens } }) {
  const own = tokens.filter(({ special }) => !special);
  const unknown = own.filter(({ token }) => ["<unk>", "[UNK]"].includes(token)).length;
  if (2 * unknown > own.length) return `The tokenizer does not know most of this text (${whole(unknown)} of ${whole(own.length)} tokens are unknown): do not rely on the translation.`;
  const characters = [...text].length;
  if (own.length > characters) return `The tokenizer cuts these ${whole(characters)} characters into ${whole(own.length)} parts of characters: it hardly knows this script, so do not rely on the translation.`;
  return "";
}

/**
 * @param {any} settings what the export wrote into the page
 * @param {HTMLElement} page where the runs are shown
 */
export function makeForm(settings, page) {
  const text = h("textarea", { id: "text", rows: 2, spellcheck: "false", autocomplete: "off", "aria-label": "Your text", "aria-describedby": "said" });
  const given = h("input", { id: "given", type: "text", autocomplete: "off", spellcheck: "false", "aria-label": "A translation for the model to follow" });
  const bar = h("progress", { max: 1, value: 0, "aria-label": "loading the model" });
  const loading = h("p.caption.loading"); // not spoken: it changes all the time
  const said = h("output.said", { id: "said", for: "text", role: "status" });
  const earlier = h("p.earlier", { hidden: true });
  const beams = h("div.beams");
  const numbers = [...new Set([...BEAMS, settings.search.num_beams])].sort((one, other) => one - other);
  let asking = null;
  let chosen = settings.search.num_beams;
  text.value = settings.examples[0].text;
  const box = h("form.ask", { "aria-label": "Your text", onsubmit: (event) => event.preventDefault() },
    h("label.ask-title", { for: "text" }, "Your text"), text,
    h("div.ask-row", {},
      beams,
      h("div.choice", { role: "group", "aria-label": "Examples" },
        h("span.choice-label", { "aria-hidden": "true" }, settings.examples.length > 1 ? "Examples" : "Example"),
        settings.examples.map((example) => h("button.option", { type: "button", onclick: () => begin(example.text) }, example.name))),
      h("details.follow", {}, h("summary", {}, "A translation for the model to follow"), given,
        h("p.caption", {}, "It is said word by word, and no beams are kept. Empty this field, and the model writes its own."))),
    bar, loading, said, earlier);
  tellBeams();
  tell("Loading the model …");
  return { box, connect, answered, failed, progress };

  /** Tells how much of the files has been read, and what comes next. */
  function progress(read, total, name) {
    bar.value = read / total;
    const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
    loading.textContent = read < total
      ? `${megabytes(read)} of ${megabytes(total)} MB read, now ${whatIs(name)}. Then the model is started, and translates the text above.`
      : `All ${megabytes(total)} MB are read. The model is being started, and translates the text above.`;
  }

  /** What stands in the fields. */
  function question() {
    return { text: text.value, given: given.value, beams: chosen };
  }

  /** From now on, what is typed is asked. @param {import("./asking.js").Asking} to */
  function connect(to) {
    asking = to;
    bar.remove();
    loading.remove();
    tell("Translating …");
    for (const field of [text, given]) {
      const edited = () => asking.edit({ ...question(), place: text.selectionStart });
      // While a letter is composed, it is no text yet.
      field.addEventListener("input", (event) => event.isComposing || edited());
      field.addEventListener("compositionend", edited);
    }
    return asking.begin(question());
  }

  function begin(example) {
    text.value = example;
    given.value = "";
    asking?.begin(question());
  }

  function tellBeams() {
    beams.replaceChildren(choice("Beams", numbers.map((number) => [number, String(number)]), chosen, (number) => {
      chosen = number;
      tellBeams();
      beams.querySelector('[aria-pressed="true"]').focus();
      asking?.ask(question());
    }, "beams"));
  }

  function answered({ text: source, sentences, rows, run, took }) {
    const gap = (index) => (index ? source.slice(sentences[index - 1].end, sentences[index].start) || " " : "");
    const waiting = rows.filter(({ pending }) => pending).length;
    const told = rows.filter(({ pending }) => !pending).map(({ index, translation }) => gap(index) + translation).join("");
    const time = `${whole(Math.round(took))} ms, in this browser`;
    said.classList.remove("wrong");
    const warning = strange(run);
    // Where it can be seen, the translation stands with its source.
    said.replaceChildren(h("bdi.hidden", {}, told), " ", h("span.time", {}, waiting ? `${whole(rows.length - waiting)} of ${whole(rows.length)} sentences …` : time), ...(warning ? [" ", h("span.strange", {}, warning)] : []));
    page.classList.remove("of-earlier");
    earlier.hidden = true;
  }

  /** Tells why there is no answer, and whose the pictures are that stay. @param {string|null} shown */
  function failed(error, shown = null) {
    bar.remove();
    loading.remove();
    if (!(error instanceof Refusal)) console.warn(error);
    tell(error instanceof Refusal ? error.message : `The model could not be run here (${String(error.message ?? error).split("\n")[0]}): reload the page, or try a shorter text.`, true);
    page.classList.toggle("of-earlier", shown !== null);
    earlier.hidden = shown === null;
    if (shown !== null) earlier.textContent = `Below is still: “${shown.length > SHORT ? `${shown.slice(0, SHORT)}…` : shown}”`;
  }

  function tell(sentence, wrong = false) {
    said.classList.toggle("wrong", wrong);
    said.textContent = sentence;
  }
}
