// A recording as a spectrogram, a picture as itself, and over them how much of each place was read.
import { h, s } from "../dom.js";
import { reading, stateAt } from "./places.js";

/** What lies under the pointer on a drawing, from its place in shares of width and height. */
export const readings = new WeakMap();

const colour = (name) => {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
};

/** The spectrogram: time from left to right, low bands at the bottom; the more energy, the more ink. */
export function spectrogram(run) {
  const features = run.array("input.features");
  if (!features) return null;
  const [frames, bins] = features.shape;
  const canvas = h("canvas.spectrogram", { width: frames, height: bins, "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(frames, bins);
  const [low, high] = common(features.data);
  const [paper, ink] = [colour("--sunk"), colour("--ink")];
  for (let t = 0; t < frames; t++) {
    for (let bin = 0; bin < bins; bin++) {
      const share = Math.max(0, Math.min(1, (features.data[t * bins + bin] - low) / (high - low))) ** 1.3;
      const at = 4 * ((bins - 1 - bin) * frames + t);
      for (let i = 0; i < 3; i++) image.data[at + i] = paper[i] + share * (ink[i] - paper[i]);
      image.data[at + 3] = 255;
    }
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}

/** What nearly all numbers lie between. */
function common(values) {
  const sorted = Float32Array.from(values).sort();
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
  const [low, high] = [at(0.02), at(0.995)];
  return high > low ? [low, high] : [low, low + 1];
}

/** The picture as the model saw it, or a plain field where the page does not carry it. */
export function seen(run) {
  const { input } = run;
  const kept = input.media && document.getElementById(input.media.element);
  if (!kept) return h("div.seen.unseen");
  return h("img.seen", { src: kept.getAttribute("src"), alt: "", width: input.width, height: input.height, draggable: "false" });
}

/** The recording or the picture itself. */
export const itself = (run) => (run.input.kind === "audio" ? spectrogram(run) ?? h("div.spectrogram.unseen") : seen(run));

/** How fine a drawing of states is: a frame, or a pixel. */
const size = ({ input }) => (input.kind === "audio" ? [input.frames, 1] : [input.width, input.layout === "columns" ? 1 : input.height]);

/** Fills the box of each state with what `ink` gives: red, green, blue and opacity. */
function fillBoxes(run, canvas, ink) {
  const [width, height] = size(run);
  [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(width, height);
  run.boxes.forEach(([left, top, right, bottom], index) => {
    const [red, green, blue, alpha] = ink(index);
    for (let y = Math.round(top * height); y < Math.round(bottom * height); y++) {
      for (let x = Math.round(left * width); x < Math.round(right * width); x++) image.data.set([red, green, blue, 255 * alpha], 4 * (y * width + x));
    }
  });
  pen.putImageData(image, 0, 0);
  return canvas;
}

const EVEN = 3; // a weight this many times the mean of all is the least that is drawn in full

/**
 * A veil over what was not read, and a wash of purple over what was, relative to the largest weight.
 * @param {ArrayLike<number>} weights of a step
 */
export function heat(run, weights) {
  const [veil, wash] = [colour("--paper"), colour("--score")];
  const most = Math.max(...weights, EVEN / weights.length);
  return fillBoxes(run, h("canvas.heat-layer", { "aria-hidden": "true" }), (index) => {
    const share = weights[index] / most;
    const [covered, tinted] = [0.74 * (1 - share) ** 1.5, 0.5 * share];
    const alpha = covered + tinted * (1 - covered);
    return [...veil.map((each, i) => (each * covered + wash[i] * tinted * (1 - covered)) / (alpha || 1)), alpha];
  });
}

/** The weights of a step as a line of shades, relative to `most`. */
export function shade(run, weights, most) {
  const wash = colour("--score");
  return fillBoxes(run, h("canvas.shade"), (index) => [...wash, Math.min(1, weights[index] / most)]);
}

/** The weights of a step as bars, each as wide as its state, as high as its share of `most`. */
export function strip(run, weights, most) {
  let path = "";
  weights.forEach((weight, index) => {
    const [left, , right] = run.boxes[index];
    const height = weight / most;
    if (height > 0.002) path += `M${left.toFixed(5)} 1h${(right - left).toFixed(5)}v${(-height).toFixed(4)}h${(left - right).toFixed(5)}z`;
  });
  return s("svg.strip", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }, s("path.bars", { d: path }), s("line.axis", { x1: 0, x2: 1, y1: 1, y2: 1 }));
}

/** Marks on a drawing: the chosen state, and what a what-if run took away. */
export function marks(run, chosen, gone) {
  const rect = (name, [left, top, right, bottom]) => s(`rect.${name}`, { x: left, y: top, width: right - left, height: bottom - top });
  return s(
    "svg.marks",
    { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" },
    gone && rect("gone", gone),
    chosen >= 0 && rect("chosen", run.boxes[chosen]),
  );
}

/** Makes a drawing tell the place under the pointer, and choose it. */
export function live(element, run, weights, choose) {
  readings.set(element, (x, y) => reading(run, stateAt(run, x, y), weights));
  element.addEventListener("click", (event) => {
    const place = element.getBoundingClientRect();
    choose(stateAt(run, (event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height));
  });
  return element;
}
