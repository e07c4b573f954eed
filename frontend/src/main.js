import "./style.css";
import "./media.css";
import { App } from "./app.js";
import { Run } from "./run.js";

const packed = JSON.parse(document.getElementById("data").textContent);
const app = new App(
  document.getElementById("page"),
  packed.runs.map((run) => new Run(run, packed.pool, packed.left_out)),
  packed,
);
app.start();
