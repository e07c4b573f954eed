// The live page: the reader's text, translated here, above the chapters that show how.
import "../style.css";
import "../media.css";
import "./live.css";
import { Asking } from "./asking.js";
import { Engine } from "./engine.js";
import { makeForm } from "./form.js";

const settings = JSON.parse(document.getElementById("live").textContent);
const page = document.getElementById("page");
const form = makeForm(settings, page);
page.replaceChildren();
page.before(form.box);

Engine.load(settings, form.progress).then((engine) => {
  globalThis.live = engine; // for who wants to ask it from the console
  return form.connect(new Asking(engine, page, form));
}).catch(form.failed);
