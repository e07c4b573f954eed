// The sentence and its translation, joined by lines as thick as the attention weights.
import { h, percent, s } from "./dom.js";
import { argmax } from "./math.js";

export const FAINTEST = 0.02; // weights under this draw no line
const [MANY, NEAR] = [40, 4]; // of many steps, only the lines near the current one are drawn behind it
const NARROW = 620; // pixels: below, the two sentences stand side by side and not one over the other

/** Weights between groups of tokens: sums over a source word, means over the tokens of a target word. */
export function groupedWeights(run, layer, head, rows, columns) {
  return rows.map(({ members }) => {
    const mean = new Float64Array(run.source.tokens.length);
    for (const step of members) {
      run.weights(layer, step, head).forEach((weight, j) => (mean[j] += weight / members.length));
    }
    return columns.map((column) => column.members.reduce((total, j) => total + mean[j], 0));
  });
}

export const groupsOf = (side, level) => (level === "words" ? side.words_ : side.single);
/** Step 4, or steps 4 to 6: those that wrote the tokens of a group. */
export const stepsOf = ({ members }) => (members.length > 1 ? `steps ${members[0] + 1} to ${members.at(-1) + 1}` : `step ${members[0] + 1}`);
export const groupAt = (groups, index) => groups.findIndex(({ members }) => members.includes(index));

/**
 * @param {import("./app.js").App} app
 * @param {import("./app.js").View} view
 */
export function diagram(app, view) {
  const { run } = view;
  const columns = groupsOf(run.source, view.level);
  const rows = groupsOf(run.target, view.level);
  const weights = run.attends ? groupedWeights(run, view.layer, view.head, rows, columns) : null;
  const stepping = view.inStep;
  const currentRow = groupAt(rows, view.step);
  const currentColumn = groupAt(columns, view.source);
  const strongest = weights && argmax(weights[currentRow]);
  const size = Math.max(rows.length, columns.length);

  const word = (group, index, side) => {
    const current = side === "source" ? index === currentColumn : stepping && index === currentRow;
    const later = side === "target" && stepping && index > currentRow;
    const label = side === "source"
      ? `source ${index + 1} of ${columns.length}: ${group.label}`
      : `${stepsOf(group)} of ${run.steps.length}: ${group.label}${weights ? `, looks most at ${columns[argmax(weights[index])].label}, ${percent(Math.max(...weights[index]))}` : ""}`;
    const weight = side === "source" && weights && stepping ? weights[currentRow][index] : null;
    return h(
      "button.word",
      {
        type: "button",
        class: [current && "current", later && "later", group.special && "special", weight !== null && index === strongest && "strongest"].filter(Boolean).join(" "),
        "aria-label": label,
        "aria-pressed": String(current),
        tabindex: current || (side === "target" && !stepping && index === 0) ? 0 : -1,
        "data-key": `${view.side} ${side} ${index}`,
        onclick: () => app.set(side === "source" ? { source: group.members[0] + 1 } : { step: group.members.at(-1) + 1 }),
      },
      h("bdi", {}, group.label),
    );
  };

  const row = (groups, side, name) =>
    h(
      `div.words.${side}`,
      { role: "toolbar", "aria-label": name, dir: run[side].direction, onkeydown: roam },
      groups.map((group, index) => word(group, index, side)),
    );
  const source = row(columns, "source", "Source: choose a token");
  const target = row(rows, "target", "Translation: choose a step");
  const lines = s("svg.curves", { "aria-hidden": "true" });
  const plane = h("div.plane", {}, lines, source, h("div.gap"), target);
  const box = h(
    "div.diagram",
    { "data-scroll": `diagram ${view.side}`, class: size > 26 ? "tiny" : size > 13 ? "small" : "" },
    plane,
  );
  const picture = { box, plane, lines, source, target, weights, currentRow, stepping, run, strongest };
  pictures.set(box, picture);
  watcher.observe(box);
  return box;
}

const pictures = new WeakMap();
// All are measured before one is drawn: a drawing in between would have the browser lay out the page for each.
const watcher = new ResizeObserver((entries) => {
  const shown = entries.map(({ target }) => pictures.get(target));
  const places = shown.map(measure);
  shown.forEach((picture, index) => draw(picture, places[index]));
});

/** Arrow keys walk along a row of words; without this, each would be a stop of the tab key. */
export function roam(event) {
  const ahead = event.currentTarget.dir === "rtl" ? -1 : 1;
  const moves = { ArrowRight: ahead, ArrowDown: 1, ArrowLeft: -ahead, ArrowUp: -1 };
  if (!(event.key in moves)) return;
  const words = [...event.currentTarget.children];
  const next = words[words.indexOf(event.target.closest("button")) + moves[event.key]];
  event.preventDefault();
  event.stopPropagation();
  if (next) {
    next.focus();
    next.click();
  }
}

/** Where the words stand in their plane. */
function measure({ box, plane, source, target }) {
  const upright = box.clientWidth < NARROW;
  box.classList.toggle("upright", upright);
  const frame = plane.getBoundingClientRect();
  const ends = (row, outgoing) =>
    [...row.children].map((child) => {
      const place = child.getBoundingClientRect();
      return upright
        ? [(outgoing ? place.right : place.left) - frame.left, (place.top + place.bottom) / 2 - frame.top]
        : [(place.left + place.right) / 2 - frame.left, (outgoing ? place.bottom : place.top) - frame.top];
    });
  return { upright, frame, from: ends(source, true), to: ends(target, false) };
}

function draw({ lines, weights, currentRow, stepping, run, strongest }, { upright, frame, from, to }) {
  lines.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  lines.setAttribute("width", frame.width);
  lines.setAttribute("height", frame.height);
  const curve = ([x0, y0], [x1, y1]) =>
    upright
      ? `M${x0} ${y0}C${(x0 + x1) / 2} ${y0} ${(x0 + x1) / 2} ${y1} ${x1} ${y1}`
      : `M${x0} ${y0}C${x0} ${(y0 + y1) / 2} ${x1} ${(y0 + y1) / 2} ${x1} ${y1}`;
  const paths = [];
  if (weights) {
    const thickest = from.length > 30 ? 7 : 11;
    weights.forEach((row, t) =>
      row.forEach((weight, j) => {
        if (weight < FAINTEST) return;
        const faded = stepping && t !== currentRow;
        if (faded && weights.length > MANY && Math.abs(t - currentRow) > NEAR) return;
        paths.push(
          s("path", {
            d: curve(from[j], to[t]),
            "stroke-width": Math.max(0.8, weight * thickest).toFixed(2),
            class: faded ? "faded" : "",
            "stroke-opacity": (faded ? 0.1 : 0.22 + 0.68 * weight).toFixed(2),
          }),
        );
        if (stepping && t === currentRow && j === strongest) {
          const [x, y] = [(from[j][0] + to[t][0]) / 2, (from[j][1] + to[t][1]) / 2];
          paths.push(
            s("rect.tag", { x: x - 29, y: y - 12, width: 58, height: 24, rx: 12 }),
            s("text.tag-text", { x, y: y + 4.5, "text-anchor": "middle" }, percent(weight)),
          );
        }
      }));
  } else if (run.fixed) {
    const middle = [frame.width / 2, frame.height / 2];
    from.forEach((place) => paths.push(s("path.fixed", { d: curve(place, middle), "stroke-width": 1.6 })));
    to.forEach((place, t) =>
      paths.push(s("path.fixed", { d: curve(middle, place), "stroke-width": 1.6, class: stepping && t !== currentRow ? "faded" : "" })));
    paths.push(
      s("circle.funnel", { cx: middle[0], cy: middle[1], r: 17 }),
      s("text.funnel-text", { x: middle[0], y: middle[1] + 5, "text-anchor": "middle" }, "c"),
    );
  }
  lines.replaceChildren(...paths);
}

/** The diagram as a PNG, drawn anew on a canvas. @returns {Promise<Blob>} */
export function asPicture(box, title) {
  const plane = box.querySelector(".plane");
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
  for (const shape of box.querySelectorAll(".curves > path")) {
    const look = style(shape);
    pen.globalAlpha = Number(look.strokeOpacity);
    pen.strokeStyle = look.stroke;
    pen.lineWidth = parseFloat(look.strokeWidth);
    pen.lineCap = "round";
    pen.stroke(new Path2D(shape.getAttribute("d")));
  }
  pen.globalAlpha = 1;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const word of box.querySelectorAll(".word")) {
    const place = word.getBoundingClientRect();
    pen.font = `${style(word).fontWeight} ${style(word).fontSize} ${style(word).fontFamily}`;
    pen.fillStyle = style(word).color;
    pen.fillText(word.textContent, (place.left + place.right) / 2 - frame.left, (place.top + place.bottom) / 2 - frame.top);
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
