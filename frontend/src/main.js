import "./style.css";
import "./media.css";
import { App } from "./app.js";
import { Run } from "./run.js";

const packed = JSON.parse(document.getElementById("data").textContent);
const sentences = [];
for (const run of packed.runs) (sentences[run.sentence] ??= []).push(new Run(run, packed.pool, packed.left_out));
new App(document.getElementById("page"), sentences, packed).start();
