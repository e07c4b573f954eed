// The live page: the reader's text, translated here, above the chapters that show how.
import "../style.css";
import "../media.css";
import "./live.css";
import { App } from "../app.js";
import { h } from "../dom.js";
import { Run } from "../run.js";
import { Engine } from "./engine.js";
import { Refusal } from "./files.js";

const PAUSE_MS = 250; // after the last key
const settings = JSON.parse(document.getElementById("live").textContent);
const page = document.getElementById("page");

const text = h("textarea", { id: "text", rows: 2, maxlength: 100_000, spellcheck: "false", autocomplete: "off", "aria-describedby": "said" });
const given = h("input", { id: "given", type: "text", maxlength: 100_000, autocomplete: "off", spellcheck: "false" });
const bar = h("progress", { max: 1, value: 0, "aria-label": "loading the model" });
const said = h("p.said", { id: "said", role: "status" });
text.value = settings.example;
const form = h("form.ask", { onsubmit: (event) => (event.preventDefault(), answer()) },
  h("label", { for: "text" }, "Your text"), text,
  h("label", { for: "given" }, "A translation for the model to follow (if left empty, it writes its own)"), given,
  h("button.option", {}, "Translate"), bar, said);
page.before(form);

let engine = null;
let app = null;
let shown = null; // the newest run
let wanted = 0;
let timer = 0;

/** Makes the run of what stands in the fields; one at a time, and only the newest. */
async function answer() {
  clearTimeout(timer);
  const number = ++wanted;
  if (!engine) return;
  await busy;
  if (number === wanted) await (busy = run());
}

let busy = Promise.resolve();

async function run() {
  try {
    const began = performance.now();
    const made = await engine.trace(text.value, given.value);
    const run = new Run(made, [], []);
    const runs = shown && shown.name !== run.name ? [run, new Run({ ...shown.made, name: `before: ${shown.name}` }, [], [])] : [run];
    if (app) app.replace(runs);
    else {
      app = new App(page, runs, { runs, left_out: [], overview: [], beside: 0 });
      app.start();
    }
    shown = { made, name: run.name };
    tell(`${run.target.text} (${Math.round(performance.now() - began).toLocaleString("en")} ms, in this browser)`);
  } catch (error) {
    fail(error);
  }
}

function tell(sentence, wrong = false) {
  said.classList.toggle("wrong", wrong);
  said.textContent = sentence;
}

function fail(error) {
  bar.hidden = true;
  if (!(error instanceof Refusal)) console.warn(error);
  tell(error instanceof Refusal ? error.message : `The model could not be run here (${String(error.message ?? error).split("\n")[0]}): reload the page, or try a shorter text.`, true);
}

for (const field of [text, given]) {
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(answer, PAUSE_MS);
  });
}

tell("Loading the model …");
Engine.load(settings, (share) => (bar.value = share)).then((loaded) => {
  engine = loaded;
  bar.remove();
  globalThis.live = engine; // for who wants to ask it from the console
  return answer();
}).catch(fail);
