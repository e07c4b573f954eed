// What the model heard or saw, with the words that it wrote: each hangs from the places that were read for it.
import { groupAt, groupsOf, roam, stepsOf } from "../diagram.js";
import { h, number, percent, s } from "../dom.js";
import { heat, itself, live, marks, strip } from "./drawings.js";
import { changed, hears, inLine, looked, stretch } from "./places.js";
import { listen } from "./sound.js";

const FAINTEST = 0.015; // weights under this draw no line

/** The weights over the states of each group of target tokens: means over the tokens of a word. */
export const rowsOf = (run, layer, head, groups) =>
  groups.map(({ members }) => {
    const mean = new Float64Array(run.source.tokens.length);
    for (const step of members) run.weights(layer, step, head).forEach((weight, j) => (mean[j] += weight / members.length));
    return mean;
  });

export const mostOf = (weights) => weights.reduce((most, row) => Math.max(most, ...row), 0) || 1;

/**
 * @param {import("../app.js").App} app
 * @param {import("../app.js").View} view
 */
export function mediaPicture(app, view) {
  const { run } = view;
  const groups = groupsOf(run.target, view.level);
  const weights = run.attends ? rowsOf(run, view.layer, view.head, groups) : null;
  const current = groupAt(groups, view.step);
  const here = weights && view.inStep ? weights[current] : null;
  return (inLine(run) ? lined : gridded)(app, view, { groups, weights, current, here });
}

/** The chosen state as a slider: arrow keys go from one to the next. */
function slider(app, view, here) {
  const { run, source } = view;
  const count = run.source.tokens.length;
  return {
    tabindex: 0,
    role: "slider",
    "aria-label": hears(run) ? "place in the recording" : "place in the picture",
    "aria-valuemin": 1,
    "aria-valuemax": count,
    "aria-valuenow": source + 1,
    "aria-valuetext": `${run.source.tokens[source].label}${here ? `, weight ${percent(here[source])}` : ""}`,
    "data-key": `${view.side} place`,
    onkeydown: (event) => {
      const across = inLine(run) ? 1 : run.input.columns;
      const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, Home: -count, End: count }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      const to = source + by;
      if (Math.abs(by) < count && (to < 0 || to >= count)) return;
      app.set({ source: Math.max(0, Math.min(count - 1, to)) + 1 });
    },
  };
}

/** What was heard or seen, with what was read of it over it. */
export function canvasOf(app, view, here, name = "canvas-box") {
  const { run } = view;
  const box = h(
    `div.${name}`,
    { ...slider(app, view, here), ...(hears(run) && run.input.media ? { "data-sound": run.input.media.element } : {}) },
    itself(run),
    here && heat(run, here),
    marks(run, view.source, changed(run)),
    hears(run) && h("div.playhead", { "aria-hidden": "true" }),
  );
  return live(box, run, here, (index) => app.set({ source: index + 1 }));
}

/** The least width at which a drawing can be read, in pixels: below, it scrolls. */
export const leastWidth = ({ input }) => Math.round(input.kind === "audio" ? 64 * input.seconds : (36 * input.width) / input.height);

/** Seconds, or pixels, under a drawing. */
export function axis(run) {
  const whole = hears(run) ? run.input.seconds : run.input.width;
  const steps = hears(run) ? [0.1, 0.2, 0.5, 1, 2, 5, 10, 20] : [10, 20, 50, 100, 200, 500, 1000];
  const by = steps.find((step) => whole / step <= 9) ?? steps.at(-1);
  const digits = by < 1 ? 1 : 0;
  const ticks = Array.from({ length: Math.floor(whole / by + 1e-6) + 1 }, (_, index) => index * by);
  return h("div.axis", { "aria-hidden": "true" }, ticks.map((tick) =>
    h("span.tick", { style: { left: `${(100 * tick) / whole}%` } }, `${tick.toFixed(digits)}${tick === 0 ? (hears(run) ? " s" : " px") : ""}`)));
}

// --------------------------------------------------------------------------------------- states side by side

function lined(app, view, { groups, weights, current, here }) {
  const { run } = view;
  const stepping = view.inStep;
  const words = groups.map((group, index) => wordButton(app, view, group, index, { weights, current }));
  const target = h("div.words.target.hung", { role: "toolbar", "aria-label": `${run.made}: choose a step`, onkeydown: roam }, words);
  const lines = s("svg.curves", { "aria-hidden": "true" });
  const top = h("div.heard", {}, axis(run), canvasOf(app, view, here), here && strip(run, here, mostOf(weights)));
  const plane = h("div.plane", {}, lines, top, h("div.gap"), target);
  const box = h("div.diagram.lined", { "data-scroll": `diagram ${view.side}`, class: groups.length > 26 ? "tiny" : groups.length > 13 ? "small" : "" }, plane);
  new ResizeObserver(() => hang({ box, plane, lines, top, target, run, weights, current, stepping })).observe(box);
  return h("div.media", {}, box, tools(view, here));
}

/** Puts each word under the middle of what was read for it, as far as its neighbours leave room. */
function hang({ box, plane, lines, top, target, run, weights, current, stepping }) {
  const words = [...target.children];
  plane.style.removeProperty("min-width");
  const gap = 4;
  const sizes = words.map((word) => word.offsetWidth);
  const needed = sizes.reduce((total, size) => total + size + gap, 0);
  plane.style.setProperty("min-width", `max(100%, ${needed}px, ${leastWidth(run)}px)`);
  const width = plane.clientWidth;
  const middles = run.boxes.map(([left, , right]) => (left + right) / 2);
  const wanted = words.map((_, t) => (weights ? width * weights[t].reduce((total, weight, j) => total + weight * middles[j], 0) : (width * (t + 0.5)) / words.length));
  const places = [];
  let edge = 0;
  wanted.forEach((middle, t) => {
    places[t] = Math.max(edge, middle - sizes[t] / 2);
    edge = places[t] + sizes[t] + gap;
  });
  let limit = width;
  for (let t = words.length - 1; t >= 0; t--) {
    places[t] = Math.min(places[t], limit - sizes[t]);
    limit = places[t] - gap;
  }
  words.forEach((word, t) => word.style.setProperty("left", `${places[t].toFixed(1)}px`));
  if (stepping) {
    const [left, right] = [places[current], places[current] + sizes[current]];
    if (left < box.scrollLeft || right > box.scrollLeft + box.clientWidth) box.scrollLeft = (left + right - box.clientWidth) / 2;
  }
  const frame = plane.getBoundingClientRect();
  const from = top.lastElementChild.getBoundingClientRect().bottom - frame.top;
  const to = target.getBoundingClientRect().top - frame.top;
  lines.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  lines.setAttribute("width", frame.width);
  lines.setAttribute("height", frame.height);
  if (!weights) return;
  const most = Math.max(mostOf(weights), 0.2); // what is read of everywhere stays faint
  const paths = [];
  weights.forEach((row, t) => {
    const faded = stepping && t !== current;
    const x = places[t] + sizes[t] / 2;
    row.forEach((weight, j) => {
      if (weight < FAINTEST) return;
      const [left, , right] = run.boxes[j];
      const [x0, x1] = [left * width, right * width];
      const half = (from + to) / 2;
      paths.push(s("path.funnel", {
        d: `M${x0.toFixed(1)} ${from}C${x0.toFixed(1)} ${half} ${x - 1.5} ${half} ${x - 1.5} ${to}h3C${x + 1.5} ${half} ${x1.toFixed(1)} ${half} ${x1.toFixed(1)} ${from}z`,
        "fill-opacity": (faded ? 0.02 + (0.12 * weight) / most : 0.08 + (0.66 * weight) / most).toFixed(3),
      }));
    });
  });
  lines.replaceChildren(...paths);
}

function wordButton(app, view, group, index, { weights, current }) {
  const { run } = view;
  const chosen = view.inStep && index === current;
  const where = weights ? `, read ${looked(run, weights[index])}` : "";
  return h(
    "button.word",
    {
      type: "button",
      class: [chosen && "current", view.inStep && index > current && "later", group.special && "special"].filter(Boolean).join(" "),
      "aria-label": `${stepsOf(group)} of ${run.steps.length}: ${group.label}${where}`,
      "aria-pressed": String(chosen),
      tabindex: chosen || (!view.inStep && index === 0) ? 0 : -1,
      "data-key": `${view.side} target ${index}`,
      onclick: () => app.set({ step: group.members.at(-1) + 1 }),
    },
    h("bdi", {}, group.label),
  );
}

/** Listening, and what was read for the current word. */
function tools(view, here) {
  const { run } = view;
  const all = listen(run, "listen");
  const part = here && hears(run) ? stretch(here) : null;
  const spans = run.input.spans;
  if (!all && !here) return null;
  return h(
    "div.media-tools",
    {},
    all,
    part && listen(run, `what was read for “${run.target.tokens[view.step].label}”`, [spans[part.from][0], spans[part.to][1]], "part"),
    here && h("span.read-where", {}, `${looked(run, here)} of the weight`),
  );
}

// ------------------------------------------------------------------------------------------ states in a grid

function gridded(app, view, { groups, weights, current, here }) {
  const { run } = view;
  const layers = groups.map((group, index) => {
    const chosen = view.inStep && index === current;
    return h(
      "button.layer",
      {
        type: "button",
        class: [chosen && "current", group.special && "special"].filter(Boolean).join(" "),
        "aria-pressed": String(chosen),
        tabindex: chosen || (!view.inStep && index === 0) ? 0 : -1,
        "data-key": `${view.side} target ${index}`,
        onclick: () => app.set({ step: group.members.at(-1) + 1 }),
      },
      h("span.thumb", {}, itself(run), weights && heat(run, weights[index])),
      h("span.hidden", {}, `${stepsOf(group)} of ${run.steps.length}: `),
      h("bdi.layer-word", {}, group.label),
      weights && h("span.hidden", {}, `, looked most at ${looked(run, weights[index])}: `),
      weights && h("span.share", {}, number(Math.max(...weights[index]), 2)),
    );
  });
  return h(
    "div.media.looked-at",
    {},
    h("div.seen-box", { style: { "--ratio": run.input.width / run.input.height } }, canvasOf(app, view, here), h("p.tiny-label", {}, here ? looked(run, here) : `${run.input.width} × ${run.input.height} pixels, ${run.input.rows} × ${run.input.columns} patches`)),
    h("div.layers", { role: "toolbar", "aria-label": `${run.made}: choose a step`, onkeydown: roam }, layers),
  );
}

/** The drawing as a PNG. @returns {Promise<Blob>} */
export async function mediaAsPicture(box, title) {
  const plane = box.querySelector(".plane, .seen-box");
  const frame = plane.getBoundingClientRect();
  const [margin, head, scale] = [32, 56, 2];
  const canvas = document.createElement("canvas");
  canvas.width = (frame.width + 2 * margin) * scale;
  canvas.height = (frame.height + 2 * margin + head) * scale;
  const pen = canvas.getContext("2d");
  const style = (element) => getComputedStyle(element);
  pen.scale(scale, scale);
  pen.fillStyle = style(document.body).backgroundColor;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = style(document.body).color;
  pen.font = `600 15px ${style(document.body).fontFamily}`;
  pen.fillText(title, margin, margin + 8, frame.width);
  pen.translate(margin, margin + head);
  pen.imageSmoothingEnabled = false;
  const at = (element) => {
    const place = element.getBoundingClientRect();
    return [place.left - frame.left, place.top - frame.top, place.width, place.height];
  };
  for (const drawn of plane.querySelectorAll(".canvas-box > canvas, .canvas-box > img")) pen.drawImage(drawn, ...at(drawn));
  for (const shape of plane.querySelectorAll(".curves > path, .strip > .bars")) {
    pen.save();
    const drawing = shape.ownerSVGElement;
    if (drawing.classList.contains("strip")) {
      const [x, y, width, height] = at(drawing);
      pen.translate(x, y);
      pen.scale(width, height);
    }
    pen.globalAlpha = Number(style(shape).fillOpacity);
    pen.fillStyle = style(shape).fill;
    pen.fill(new Path2D(shape.getAttribute("d")));
    pen.restore();
  }
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const word of plane.querySelectorAll(".word, .tick")) {
    const [x, y, width, height] = at(word);
    pen.font = `${style(word).fontWeight} ${style(word).fontSize} ${style(word).fontFamily}`;
    pen.fillStyle = style(word).color;
    pen.fillText(word.textContent, x + width / 2, y + height / 2);
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
