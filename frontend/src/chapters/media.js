// The chapters of a recording or a picture, where they differ from those of a text.
import { h, number, percent, whole } from "../dom.js";
import { absent, section, symbol, table, vectorRow } from "../marks.js";
import { itself, live, shade } from "../media/drawings.js";
import { groupAt, groupsOf, stepsOf } from "../diagram.js";
import { axis, canvasOf, leastWidth, mostOf, rowsOf } from "../media/picture.js";
import { changed, hears, inLine, looked, placeName } from "../media/places.js";
import { vectorList } from "./embeddings.js";
import { heatmap } from "./heatmap.js";

const deep = (depth) => depth === "numbers" || depth === "vectors";

/** In place of tokens: what the model heard or saw, as numbers. */
export function received(app, view) {
  const { run, source } = view;
  const { input } = run;
  const gone = changed(run) && h("p.warning", {}, hears(run) ? "A part of this recording was muted, and the model heard it again." : "A part of this picture was covered, and the model saw it again.");
  const facts = hears(run)
    ? [["duration", `${number(input.seconds, 2)} s`], ["samples a second", whole(input.sampling_rate)], ["frames", `${whole(input.frames)}, one every ${number(1000 * input.hop, 0)} ms`], ["bands of pitch", input.bins], ["states", run.source.tokens.length]]
    : [["size", `${whole(input.width)} × ${whole(input.height)} pixels`], ["numbers for each pixel", input.channels], ["patches", inLine(run) ? `${input.columns}, side by side` : `${input.rows} rows of ${input.columns}`]];
  return [
    section(
      hears(run) ? "The recording, as the model hears it" : "The picture, as the model sees it",
      hears(run)
        ? "Time runs from left to right, pitch from low to high; the darker (on dark paper: the lighter), the more energy. Choose a place to follow it through the chapters."
        : "Choose a place to follow it through the chapters.",
      h("div.received", inLine(run) ? { class: "wide", style: { "--least": `${leastWidth(run)}px` }, "data-scroll": `${view.side} received` } : {}, inLine(run) && axis(run), canvasOf(app, view, null)),
      gone,
      hears(run) && !run.array("input.features") && absent(run, "input.features", "The numbers of the spectrogram"),
      table(hears(run) ? "The recording in numbers" : "The picture in numbers", ["", ""], facts.map(([what, value]) => [what, String(value)]), { text: true }),
    ),
    section(
      h("span", {}, hears(run) ? "The frames of " : "The patch at ", placeName(run, source)),
      null,
      frames(),
    ),
    written(app, view),
  ];

  /** The chosen state's own frames, or pixels. */
  function frames() {
    const features = run.array("input.features");
    if (!hears(run)) return h("p.note", {}, `It covers the pixels from ${input.boxes[source].slice(0, 2).map(Math.round).join(", ")} to ${input.boxes[source].slice(2).map(Math.round).join(", ")} (across, down).`);
    if (!features) return absent(run, "input.features", "The numbers of the spectrogram");
    const [from, to] = input.spans[source].map((time) => Math.round(time / input.hop));
    const shown = Array.from({ length: Math.min(to, input.frames) - from }, (_, i) => from + i).slice(0, 8);
    return shown.map((t) => vectorRow(`${(t * input.hop).toFixed(2)} s`, features.row(t), { name: `frame ${t + 1}, low bands first` }, view.depth));
  }
}

/** What was written, piece by piece. */
function written(app, view) {
  const { run } = view;
  return section(
    `The ${run.made.toLowerCase()}, as the model wrote it`,
    "Under each piece is its number in the vocabulary.",
    h("div.pieces.written", {}, run.target.tokens.map((token, index) =>
      h("button.piece", { type: "button", class: token.special ? "special" : "", "data-key": `${view.side} piece target ${index}`, onclick: () => app.set({ step: index + 1 }) },
        h("bdi.piece-text", {}, run.piece(token.token)), h("span.piece-id", {}, token.id)))),
  );
}

const MOST_MAPS = 12;

/** In place of embeddings: what the convolutions made of it. */
export function frontEnd(app, view) {
  const { run, source, depth } = view;
  const all = run.array("encoder.embeddings");
  const parts = [];
  for (let layer = 0; run.packed[`frontend.layer.${layer}`]; layer++) {
    const maps = run.array(`frontend.layer.${layer}`);
    const [channels, high, wide] = maps.shape;
    parts.push(section(
      `Convolution ${layer + 1}: ${channels} maps of ${high} × ${wide}`,
      `Each map is what one filter found, place by place: the more ink, the larger the number.${channels > MOST_MAPS ? ` Shown: the ${MOST_MAPS} that vary most.` : ""}`,
      h("div.maps", { class: inLine(run) ? "wide" : "" }, liveliest(maps).map((channel) => featureMap(maps, channel, hears(run)))),
    ));
  }
  if (!parts.length) parts.push(section("Convolutions", null, absent(run, "frontend", "The maps of the convolutions")));
  if (!all) return [...parts, absent(run, "encoder.embeddings", "The vectors that the encoder reads")];
  const inputs = run.array("encoder.inputs");
  return [
    ...parts,
    section(
      `One vector for each ${run.unit}`,
      `Each bar is one number: up is positive, down is negative. Choose a ${run.unit} to see its vector.`,
      vectorList(app, view, run.source.tokens, all, source, (index) => ({ source: index + 1 }), "ink", "vector"),
    ),
    section(
      h("span", {}, "The vector at ", placeName(run, source)),
      null,
      vectorRow([symbol("x", "ink"), h("sub", {}, source + 1)], all.row(source), { name: `vector at ${placeName(run, source)}` }, depth),
      inputs && vectorRow("what enters the first layer", inputs.row(source), { name: "input of the first layer" }, depth),
    ),
  ];
}

/** The channels that vary most, in their own order. */
function liveliest(maps) {
  const spread = (channel) => {
    const values = maps.row(channel);
    let [total, squares] = [0, 0];
    for (const value of values) [total, squares] = [total + value, squares + value * value];
    return squares / values.length - (total / values.length) ** 2;
  };
  const order = Array.from({ length: maps.shape[0] }, (_, channel) => [spread(channel), channel]).sort((a, b) => b[0] - a[0]);
  return order.slice(0, MOST_MAPS).map(([, channel]) => channel).sort((a, b) => a - b);
}

/** One map: of a recording `(frames, bands)`, drawn with time from left to right; of a picture `(rows, columns)`. */
function featureMap(maps, channel, turned) {
  const [, first, second] = maps.shape;
  const values = maps.row(channel);
  const [width, height] = turned ? [first, second] : [second, first];
  const canvas = h("canvas", { width, height, role: "img", "aria-label": `map ${channel + 1}` });
  const pen = canvas.getContext("2d");
  pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--key").trim();
  const [low, high] = [Math.min(...values), Math.max(...values)];
  for (let i = 0; i < values.length; i++) {
    const [a, b] = [Math.floor(i / second), i % second];
    pen.globalAlpha = (values[i] - low) / (high - low || 1);
    if (turned) pen.fillRect(a, height - 1 - b, 1, 1);
    else pen.fillRect(b, a, 1, 1);
  }
  return h("figure.map", {}, canvas, h("figcaption.tiny-label", {}, `map ${channel + 1}`));
}

/** Where it listened or looked: every step of a recording or a line; one step of a picture, patch by patch. */
export function overview(app, view) {
  const { run, layer, step, source } = view;
  const groups = groupsOf(run.target, view.level);
  const rows = rowsOf(run, layer, view.head, groups);
  const current = groupAt(groups, step);
  if (!inLine(run)) {
    const { columns } = run.input;
    const grid = Array.from({ length: run.input.rows }, (_, row) => rows[current].slice(row * columns, (row + 1) * columns));
    return section(
      h("span", {}, "Where it looked to choose ", h("bdi.quoted", {}, groups[current].label)),
      "One cell for each patch of the picture. Choose a cell to see how its weight was computed.",
      view.layerChoice(),
      view.headChoice(),
      heatmap({
        rows: grid.map((_, index) => String(index + 1)),
        columns: Array.from({ length: columns }, (_, index) => String(index + 1)),
        matrix: grid,
        row: Math.floor(source / columns),
        column: source % columns,
        name: "weight",
        numbers: view.depth !== "bars",
        key: `${view.side} patches`,
        choose: (row, column) => app.set({ source: row * columns + column + 1 }),
      }),
    );
  }
  const most = mostOf(rows);
  const list = groups.map((group, index) => {
    const line = h("div.layer-line", { "aria-hidden": "true" }, shade(run, rows[index], most), h("div.here", { style: { left: `${100 * run.boxes[source][0]}%`, width: `${100 * (run.boxes[source][2] - run.boxes[source][0])}%` } }));
    live(line, run, rows[index], (place) => app.set({ step: group.members[0] + 1, source: place + 1 }));
    return h(
      "div.layer-row",
      { class: index === current ? "current" : "" },
      h("button.layer-name", { type: "button", "aria-pressed": String(index === current), "aria-label": `${stepsOf(group)}: ${group.label}, ${looked(run, rows[index])}`, "data-key": `${view.side} layer ${index}`, onclick: () => app.set({ step: group.members.at(-1) + 1 }) }, h("bdi", {}, group.label)),
      line,
      h("span.share", {}, percent(Math.max(...rows[index]))),
    );
  });
  return section(
    hears(run) ? "Where it listened, at every step" : "Where it looked, at every step",
    `One line for each step, from the ${hears(run) ? "beginning of the recording to its end" : "left of the picture to its right"}; the stronger the colour, the larger the weight. On the right is the largest weight of each step. Choose a place to see how its weight was computed.`,
    view.layerChoice(),
    view.headChoice(),
    h("div.layer-rows", { "data-scroll": `${view.side} layers` },
      h("div.layer-row.over", { "aria-hidden": "true" }, h("span"), h("div", {}, axis(run), h("div.layer-line.small", {}, itself(run))), h("span")),
      list),
  );
}
