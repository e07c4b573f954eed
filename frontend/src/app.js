// The page around the chapters: what is shown of which run, keys, the player, the address.
import { changedBar } from "./chapters/changes.js";
import { FIGURES } from "./chapters/index.js";
import { asPicture, diagram } from "./diagram.js";
import { h, number, scientific, visible, whole } from "./dom.js";
import { formulas, prose } from "./formula.js";
import { argmax } from "./math.js";
import { choice, more, section, table, vectors } from "./marks.js";
import { readings } from "./media/drawings.js";
import { mediaAsPicture, mediaPicture } from "./media/picture.js";
import { hears, inLine } from "./media/places.js";
import { sentenceList } from "./sentences.js";
import { DEPTHS, START, STEP_CHAPTERS, readAddress, writeAddress } from "./state.js";

const PLAY_MS = 1700; // a step, while playing
const REVEALED = ".diagram, .heat-box"; // what is chosen in these boxes is scrolled into sight
const SCROLLING = "[data-scroll], .tab-row, .heat-box, .table-box, .sentence-list, .layers, .layer-rows, .sliders";
const LEAST_SEEN = 300; // pixels of a chapter

/** One run as it is being looked at: the reader's place, fitted to what the run has. */
export class View {
  /** @param {View|null} lead the view that this one follows, where the reader chose no step */
  constructor(app, side, number, lead = null) {
    const { state } = app;
    this.app = app;
    this.side = side;
    this.number = number;
    this.run = app.runs[number];
    const { run } = this;
    this.wanted = state.step || (lead ? lead.step : run.telling) + 1; // the step to be shown, from 1
    this.step = clamp(this.wanted, 1, run.steps.length) - 1;
    this.layer = run.layers.includes(state.layer - 1) ? state.layer - 1 : run.layers.at(-1);
    this.head = run.heads === 1 ? 0 : clamp(state.head, 0, run.heads) - 1;
    this.source = state.source ? clamp(state.source, 1, run.source.tokens.length) - 1 : run.attends ? argmax(run.weights(this.layer, this.step, this.head)) : 0;
    this.depth = state.depth;
    this.level = state.level || run.level;
    this.inStep = STEP_CHAPTERS.includes(state.chapter);
  }

  /** The head itself, or, where the mean of all is shown, the one that looks hardest at this token. */
  oneHead(step, source) {
    if (this.head >= 0) return this.head;
    return argmax(Array.from({ length: this.run.heads }, (_, head) => this.run.weights(this.layer, step, head)?.[source] ?? 0));
  }

  layerChoice() {
    const { layers } = this.run;
    return layers.length > 1
      ? choice("Layer", layers.map((layer) => [layer, String(layer + 1)]), this.layer, (layer) => this.app.set({ layer: layer + 1 }), `${this.side} layer`)
      : null;
  }

  headChoice() {
    const { heads } = this.run;
    return heads > 1
      ? choice("Head", [[-1, "mean"], ...Array.from({ length: heads }, (_, index) => [index, String(index + 1)])], this.head, (head) => this.app.set({ head: head + 1 }), `${this.side} head`)
      : null;
  }
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

export class App {
  /**
   * @param {HTMLElement} root
   * @param {Run[][]} sentences the runs of each; none of one that `packed.make` is to be asked for
   * @param {{left_out: {what: string, why: string}[], overview: any[], beside: number, make?: (sentence: number) => void, facts?: () => string, changes?: any, models?: string[]}} packed
   *   `make` makes the runs of a sentence, and shows it; `changes` makes runs with something changed (`live/changing.js`);
   *   `models` are the names of two, whose runs come first
   */
  constructor(root, sentences, packed) {
    this.root = root;
    this.sentences = sentences;
    this.packed = packed;
    this.first = { ...START, ...packed.first, beside: packed.beside ?? 0 };
    this.state = readAddress(this.first);
    this.opened = new Set();
    this.edits = new Map();
    this.timer = null;
  }

  /** The runs of the chosen sentence. */
  get runs() {
    return this.sentences[this.sentence];
  }

  /** The chapters, in the order in which the run computes what they show. */
  get chapters() {
    return Object.keys(this.views()[0].run.chapters);
  }

  /** The number of the chosen sentence, from 0. */
  get sentence() {
    return clamp(this.state.sentence, 1, this.sentences.length) - 1;
  }

  start() {
    this.overview = sentenceList(this);
    this.masthead = h("header.masthead");
    this.tabs = h("div.tab-row", { role: "tablist", "aria-label": "Chapters" });
    this.bar = h("nav.chapters", { "aria-label": "Chapters" }, this.tabs);
    this.stage = h("div.stage", { role: "tabpanel", tabindex: -1 });
    this.foot = h("footer.foot");
    this.spoken = h("p.hidden", { role: "status", "aria-live": "polite" });
    this.player = this.makePlayer();
    this.keysBox = keysDialog(Boolean(this.overview));
    this.reading = h("div.reading", { "aria-hidden": "true" });
    this.root.replaceChildren(...[this.overview?.box, this.masthead].filter(Boolean), this.bar, h("main", {}, this.stage), this.foot, this.player.box, this.spoken, this.keysBox, this.reading);
    addEventListener("keydown", (event) => this.onKey(event));
    addEventListener("hashchange", () => {
      const { sentence } = this.state;
      this.state = readAddress(this.first);
      const wanted = this.sentence;
      if (!this.runs) this.state.sentence = sentence;
      this.render();
      this.open(wanted);
    });
    addEventListener("beforeprint", () => this.print(true));
    addEventListener("afterprint", () => this.print(false));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.render());
    this.root.addEventListener("pointermove", (event) => this.read(event));
    this.root.addEventListener("pointerleave", () => this.reading.classList.remove("on"));
    this.root.addEventListener("scroll", ({ target }) => target.matches?.(SCROLLING) && cue([target]), { capture: true, passive: true });
    new ResizeObserver(() => cueAll(this.root)).observe(this.root);
    // What is taller than the screen sticks by its end, so that all of it comes into sight.
    this.columns = new ResizeObserver((found) => found.forEach(({ target, borderBoxSize: [{ blockSize }] }) => target.style.setProperty("--height", `${blockSize}px`)));
    this.render();
  }

  /** Goes to another place; a step chosen in a chapter without steps leads to the chapter of attention. */
  set(change, speak = true) {
    const before = this.state;
    this.state = { ...before, ...change };
    if (change.step && !change.sentence && !STEP_CHAPTERS.includes(this.state.chapter)) this.state.chapter = "attention";
    if (["sentence", "step", "run"].some((key) => before[key] !== this.state[key])) this.candidate = undefined;
    this.render();
    if (speak) this.speak(before);
  }

  /** Opens a chapter, and brings it into sight. */
  go(chapter) {
    this.set({ chapter });
    this.arrive();
  }

  /** Opens another sentence of the text, at its beginning, in the same chapter. */
  open(sentence) {
    if (!this.sentences[sentence]) this.packed.make(sentence);
    else if (sentence !== this.sentence) this.set({ sentence: sentence + 1, run: 1, beside: 0, step: 0, source: 0 }, true);
  }

  /**
   * Shows other runs instead, at the same place as far as they have it.
   * @param {{sentences: Run[][], overview: any[], sentence: number, run: number, beside: number}} shown
   */
  replace({ sentences, overview, sentence, run, beside }) {
    if (this.timer !== null) this.stop();
    const before = this.state;
    this.sentences = sentences;
    this.packed.overview = overview;
    this.edits.clear();
    this.candidate = undefined;
    this.state = { ...before, run, beside, sentence };
    if (before.sentence !== sentence) this.state = { ...this.state, step: 0, source: 0 };
    this.render();
    if (before.sentence !== sentence) this.speak(before);
  }

  /**
   * Puts a changed run beside the one that it was made from, in the place of an earlier one.
   * @param {Run|null} made null: nothing is changed any more
   * @param {number|null} base which one that is, from 0; null: all
   */
  change(made, base = null) {
    const { runs } = this;
    const kept = runs.filter(({ parent }) => parent === null || (base !== null && parent !== base));
    if (runs.every(({ parent }) => parent === null)) this.before = { run: this.state.run, beside: this.state.beside };
    this.edits.clear();
    this.sentences[this.sentence] = made ? [...kept, made] : kept;
    const other = kept.findIndex(({ parent }) => parent !== null);
    const rest = other < 0 ? this.before ?? { run: 1, beside: 0 } : { run: kept[other].parent + 1, beside: other + 1 };
    this.set(made ? { run: base + 1, beside: kept.length + 1 } : rest);
    this.packed.changes.shown(this);
  }

  /** Says, where the changes stand, what could not be changed. */
  note(sentence) {
    this.packed.changes.note = sentence;
    this.render();
  }

  /** Tells of a sentence in their list. */
  tellSentence(row) {
    this.packed.overview[row.index] = row;
    this.overview.update();
  }

  /** Shows another part of the same place: a layer, a gate, a candidate; not kept in the address. */
  show(change) {
    Object.assign(this, change);
    this.render();
  }

  /** @returns {View[]} one run, or two side by side */
  views() {
    const count = this.runs.length;
    const first = clamp(this.state.run, 1, count) - 1;
    const second = clamp(this.state.beside, 0, count) - 1;
    const lead = new View(this, "a", first);
    return second >= 0 && second !== first ? [lead, new View(this, "b", second, lead)] : [lead];
  }

  render() {
    const focused = document.activeElement?.closest?.("[data-key]")?.getAttribute("data-key");
    const scrolls = [...this.root.querySelectorAll("[data-scroll]")].map((box) => [box.getAttribute("data-scroll"), box.scrollLeft, box.scrollTop]);
    const views = this.views();
    writeAddress(this.state, this.first);
    this.overview?.update();
    this.masthead.replaceChildren(...this.head(views).filter(Boolean));
    this.tabs.replaceChildren(...this.chapterTabs());
    this.stage.setAttribute("class", views.length > 1 ? "stage double" : "stage");
    this.stage.setAttribute("aria-label", views[0].run.chapters[this.state.chapter].title);
    this.stage.replaceChildren(...(views.length > 1 ? this.both(views, this.state.chapter) : [this.chapter(views[0], this.state.chapter)]));
    this.columns.disconnect();
    this.stage.querySelectorAll(".words-of").forEach((column) => this.columns.observe(column));
    this.renderFoot(views);
    this.updatePlayer(views);
    const tab = this.tabs.querySelector('[aria-selected="true"]');
    this.tabs.scrollLeft = tab.offsetLeft - this.tabs.offsetLeft - (this.tabs.clientWidth - tab.offsetWidth) / 2;
    for (const [name, left, top] of scrolls) {
      const box = this.root.querySelector(`[data-scroll="${CSS.escape(name)}"]`);
      if (box) [box.scrollLeft, box.scrollTop] = [left, top];
    }
    for (const box of this.root.querySelectorAll(views[0].run.input ? `${REVEALED}, .layers, .layer-rows, .vector-list.long, .table-box.weights` : REVEALED)) reveal(box);
    cueAll(this.root);
    if (focused) this.root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  renderFoot(views = this.views()) {
    const focused = this.foot.contains(document.activeElement) ? document.activeElement.getAttribute("data-key") : null;
    this.foot.replaceChildren(...this.footer(views).filter(Boolean));
    if (focused) this.foot.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  /** Scrolls to the beginning of the chapter where it is above, or too little of it is to be seen. */
  arrive() {
    const { top } = this.stage.getBoundingClientRect();
    const above = this.bar.offsetHeight;
    const seen = this.player.box.getBoundingClientRect().top - top;
    if (top < above || seen < LEAST_SEEN) scrollTo({ top: scrollY + top - above, behavior: "instant" });
  }

  speak(before) {
    const [view] = this.views();
    const { title } = view.run.chapters[this.state.chapter];
    const said = [];
    if (before.sentence !== this.state.sentence) said.push(`Sentence ${this.sentence + 1} of ${this.packed.overview.length}: ${view.run.source.text} Translation: ${view.run.target.text}`);
    if (before.chapter !== this.state.chapter) said.push(`Chapter ${this.chapters.indexOf(this.state.chapter) + 1}, ${title}.`);
    if (before.step !== this.state.step) said.push(`Step ${view.step + 1} of ${view.run.steps.length}. ${view.run.sentences[view.step]}`);
    if (before.depth !== this.state.depth) said.push(`Depth: ${this.state.depth}.`);
    if (said.length) this.spoken.textContent = said.join(" ");
  }

  // ------------------------------------------------------------------------------------------------ above the stage

  head(views) {
    const double = views.length > 1;
    const [{ run }] = views;
    // In a paragraph, the sentences stand above; of runs side by side, what they share is said once.
    const alone = !run.input && views.every((view) => view.run.source.text === run.source.text) ? run.source : null;
    const listed = this.packed.overview.length > 0;
    const alike = views.every((view) => named(view.run) === named(run));
    const attends = views.some((view) => view.run.attends);
    const words = views.some((view) => [view.run.source, view.run.target].some(({ words_ }) => words_.some(({ members }) => members.length > 1)));
    return [
      double ? alone && !listed && pair(alone, null) : this.overview && !this.packed.models ? null : pair(run.input ? null : run.source, run.target, !run.input),
      changedBar(this),
      h("div.brand", {}, h("h1", {}, `How this ${run.made.toLowerCase()} was made`), alike ? about(run) : null, this.runs.length > (this.packed.models ? 2 : 1) ? this.runChoice() : null, this.modelChoice()),
      h("div.pictures", { class: double ? "double" : "" }, views.map((view) => this.picture(view, double, alone, alike))),
      h(
        "div.under-picture",
        {},
        h("p.caption", {}, run.input ? mediaCaption(views[0]) : attends
          ? "A thicker line means more attention. Lines show where the model looked, not why it chose a word."
          : run.fixed ? "There are no lines between words: this model reads the whole source from a single vector, c." : "This model does not reveal where it looked.",
          run.input ? null : h("span.marked-word", {}, "the chosen source word")),
        words ? choice("Show", [["words", "words"], ["tokens", run.spelled ? "characters" : "pieces"]], views[0].level, (level) => this.set({ level }), "level") : null,
      ),
    ];
  }

  /** @param {any} source what all runs share, and is said above; `alike`: so is the model */
  picture(view, double, source, alike) {
    const { run } = view;
    return h(
      "figure.picture",
      {},
      double && h("figcaption", {}, h("p.about", {}, h("b", {}, run.name), alike ? null : about(run)), pair(source || run.input ? null : run.source, run.target, !run.input)),
      (run.input ? mediaPicture : diagram)(this, view),
    );
  }

  /** One model or both, where the page has two. */
  modelChoice() {
    const { models } = this.packed;
    if (!models) return null;
    const { run, beside } = this.state;
    const chosen = run <= 2 && beside === 0 ? run : run + beside === 3 ? 0 : null;
    return choice("Model", [[1, models[0]], [2, models[1]], [0, "both"]], chosen, (one) => this.set(one ? { run: one, beside: 0 } : { run: 1, beside: 2 }), "model");
  }

  runChoice() {
    const names = this.runs.map(({ name }) => name);
    const pick = (label, value, options, go, key) =>
      h("label.run-choice", {}, label, h("select", { "data-key": key, onchange: (event) => go(Number(event.target.value)) },
        options.map(([number, text]) => h("option", { value: number, selected: number === value }, text))));
    const chosen = clamp(this.state.run, 1, names.length);
    return h(
      "div.runs",
      {},
      pick("run", chosen, names.map((name, index) => [index + 1, name]), (run) => this.set({ run }), "run"),
      pick("beside it", this.state.beside, [[0, "nothing"], ...names.map((name, index) => [index + 1, name]).filter(([number]) => number !== chosen)], (beside) => this.set({ beside }), "beside"),
    );
  }

  chapterTabs() {
    const { chapters } = this.views()[0].run;
    return this.chapters.map((key, index) =>
      h(
        "button.tab",
        {
          type: "button",
          role: "tab",
          "aria-selected": String(key === this.state.chapter),
          tabindex: key === this.state.chapter ? 0 : -1,
          "data-key": `chapter ${key}`,
          "data-chapter": key,
          class: STEP_CHAPTERS.includes(key) ? "stepwise" : "",
          onclick: () => this.go(key),
        },
        h("span.tab-number", {}, index + 1),
        h("span", {}, chapters[key].title),
      ));
  }

  // -------------------------------------------------------------------------------------------------------- the stage

  chapter(view, key) {
    const text = view.run.chapters[key];
    return h(
      "article.side",
      { "data-side": view.side },
      h("div.words-of", {}, this.chapterTitle(key, text), this.plain(text), this.now(view, key), this.formula(text), this.exactly(text, view.side)),
      h("div.figure", {}, FIGURES[key](this, view).filter(Boolean)),
    );
  }

  /**
   * A chapter of two runs: what is said of both stands once, and what differs beside each other, row by row.
   * @param {View[]} views
   */
  both(views, key) {
    const texts = views.map(({ run }) => run.chapters[key]);
    const same = (part) => texts.every((text) => text[part] === texts[0][part]);
    const [[plain, plains], [exact, exacts]] = ["plain", "exact"].map((part) => parted(texts.map((text) => text[part])));
    const words = views.map((view, index) =>
      [plains[index] && this.plain({ plain: plains[index] }), this.now(view, key), same("formula") ? null : this.formula(texts[index]), exacts[index] && this.exactly({ exact: exacts[index] }, view.side)].filter(Boolean));
    const parts = views.map((view) => FIGURES[key](this, view).flat(Infinity).filter(Boolean));
    return [
      h("div.words-of.shared", {}, this.chapterTitle(key, { title: [...new Set(texts.map(({ title }) => title))].join(" / ") }),
        plain && this.plain({ plain }), h("div.exacter", {}, same("formula") ? this.formula(texts[0]) : null, exact && this.exactly({ exact }, "both"))),
      h("div.row.names", {}, views.map(({ run }) => h("p.run-name", {}, run.name))),
      words.flat().length
        ? h("div.row", {}, views.map((view, index) => h("article.side", { "data-side": view.side, "aria-label": view.run.name }, h("div.words-of", {}, this.halfName(view), words[index]))))
        : null,
      ...paired(parts).map((pair, row, rows) => (pair.every(Boolean) ? this.pairOf(views, pair) : this.only(views, pair, rows[row - 1]))),
    ].filter(Boolean);
  }

  /** A part that both runs have. */
  pairOf(views, pair) {
    const shared = sharedHead(pair);
    return h("div.row-of", {}, shared, h("div.row", {}, views.map((view, index) => h("div.half", { "data-side": view.side }, this.halfName(view), pair[index]))));
  }

  /** A part that one run has; whose it is stands above the first of several. */
  only(views, pair, before) {
    const view = views[pair[0] ? 0 : 1];
    const goesOn = before && pair.every((part, index) => Boolean(part) === Boolean(before[index]));
    return h("div.row-of", {}, goesOn ? null : h("p.run-name", {}, `only ${view.run.name}`), h("div.half", { "data-side": view.side }, pair));
  }

  /** Whose numbers these are, where runs stand beneath each other. */
  halfName({ run }) {
    return h("p.half-name", {}, run.name);
  }

  chapterTitle(key, { title }) {
    return h("h2", {}, h("span.chapter-number", { "aria-hidden": "true" }, this.chapters.indexOf(key) + 1), title);
  }

  plain({ plain }) {
    return h("p.plain", {}, prose(plain));
  }

  formula({ formula }) {
    return formula ? formulas(formula) : null;
  }

  /** What happens at the step that is shown, in a chapter about steps. */
  now(view, key) {
    const { run, step, wanted } = view;
    const { length } = run.steps;
    if (!STEP_CHAPTERS.includes(key)) return null;
    const ended = wanted > length ? `This ${run.made.toLowerCase()} ends here: it has no step ${wanted}. ` : "";
    return h("p.now", {}, h("b", {}, `Step ${step + 1} of ${length}. `), ended, prose(run.sentences[step]), " ", this.whyHere(view));
  }

  exactly({ exact }, side) {
    return h("details.exact", { open: this.opened.has("exact") || this.state.depth === "vectors", ontoggle: (event) => (event.target.open ? this.opened.add("exact") : this.opened.delete("exact")) },
      h("summary", { "data-key": `${side} exact` }, "More exactly"), h("p", {}, prose(exact)));
  }

  /** Why this step and this source token are shown, where the reader did not choose both. */
  whyHere({ run, source, side }) {
    const parts = [];
    if (!this.state.step && side === "a" && run.steps.length > 1) parts.push(run.attends ? "Shown first, because of the steps that write a word its attention is spread most. " : "Shown first, because it was the least certain. ");
    if (this.state.source && run.attends && !run.input) {
      parts.push(
        h("span.pinned", {}, "You chose the source token ", h("bdi.quoted", {}, run.source.tokens[source].label), ". "),
        h("button.link", { type: "button", "data-key": `${side} follow`, onclick: () => this.set({ source: 0 }) }, "Follow the attention instead"),
      );
    }
    return parts;
  }

  /** Links to the runs with something changed, which the model itself decoded again. */
  children(view, short = false) {
    const found = this.runs.map((run, index) => ({ run, index })).filter(({ run, index }) => run.parent === view.number && index !== view.number);
    if (!found.length) {
      return null;
    }
    const list = h(
      "div.children",
      {},
      found.map(({ run, index }) =>
        h("div.child", {},
          h("p", {}, h("b", {}, run.name), ": ", h("bdi.quoted", {}, run.target.text)),
          h("button.option", { type: "button", "data-key": `open ${index}`, onclick: () => this.set({ run: index + 1, beside: 0 }) }, "open"),
          h("button.option", { type: "button", "data-key": `beside ${index}`, onclick: () => this.set({ run: view.number + 1, beside: index + 1 }) }, "side by side"))),
    );
    return short
      ? h("div", {}, h("h4", {}, "Decoded again by the model itself"), list)
      : section("What if? Decoded again by the model itself", "Something was changed, and the model decoded again from there.", list);
  }

  // ------------------------------------------------------------------------------------------------- below the stage

  footer(views) {
    const [{ run }] = views;
    const { document: doc } = run;
    const checks = doc.checks ?? [];
    const failed = checks.filter((check) => !check.passed).length;
    const numbers = whole(checks.reduce((count, { compared }) => count + compared, 0));
    const worst = scientific(Math.max(0, ...checks.map((check) => check.largest_difference)));
    const omitted = doc.omitted ?? [];
    const left = this.packed.left_out;
    return [
      h("div.downloads", {},
        h("button.option", { type: "button", "data-key": "json", onclick: () => this.saveJson() }, "Save the numbers (JSON)"),
        h("button.option", { type: "button", "data-key": "png", onclick: () => this.savePng() }, "Save the picture (PNG)"),
        h("button.option", { type: "button", "data-key": "keys", onclick: () => this.keysBox.showModal() }, "Keys ", h("kbd", {}, "?"))),
      checks.length
        ? more(this, "checks", failed
            ? `${failed} of ${checks.length} checks of the trace did not pass`
            : `All ${checks.length} checks of the trace passed: ${numbers} numbers were recomputed from the others, and the largest difference is ${worst}. What a chapter recomputes has its difference beside it`,
          table("What was recomputed from the other numbers", ["check", "of", "numbers", "largest difference", "allowed", "result"],
            checks.map((check) => [check.name, check.what, whole(check.compared), scientific(check.largest_difference), scientific(check.tolerance), check.passed ? "✓ passed" : "✗ failed"])))
        : null,
      omitted.length + left.length
        ? more(this, "omitted", `What is left out (${omitted.length + left.length})`,
          h("ul", {}, [...omitted, ...left].map(({ what, why }) => h("li", {}, h("b", {}, what), `: ${why}`))))
        : null,
      h("p.facts", {}, `${doc.model.class}, ${whole(doc.model.parameters)} parameters · ${Object.entries(doc.versions).map(([name, version]) => `${name} ${version}`).join(" · ")} · ${doc.run.num_beams > 1 ? `${doc.run.num_beams} beams` : "greedy"}${doc.run.forced ? " · target given" : ""} · ${doc.run.dtype}${this.packed.facts ? ` · ${this.packed.facts()}` : ""}`),
    ];
  }

  saveJson() {
    const { run } = this.views()[0];
    // What the page has in 8 bits alone is not what the run recorded.
    const exact = Object.keys(run.packed).filter((name) => run.packed[name].low === undefined && !name.startsWith("contrast."));
    const arrays = Object.fromEntries(exact.map((name) => {
      const { shape, data } = run.array(name);
      return [name, { shape, values: Array.from(data, (value) => Number(value.toPrecision(9))) }];
    }));
    const left = (this.packed.left_out).map(({ what, why }) => ({ what, why }));
    const text = JSON.stringify({ ...withMedia(run.document), omitted: [...(run.document.omitted ?? []), ...left], children: [], arrays });
    save(new Blob([text], { type: "application/json" }), "trace.json");
  }

  async savePng() {
    const { run } = this.views()[0];
    const picture = run.input ? mediaAsPicture(this.masthead.querySelector(".media"), run.target.text) : asPicture(this.masthead.querySelector(".diagram"), run.target.text);
    save(await picture, "attention.png");
  }

  // ------------------------------------------------------------------------------------------------------- the player

  makePlayer() {
    const button = (name, label, sign, go) => h("button.control", { type: "button", "aria-label": label, title: label, "data-key": `player ${name}`, onclick: go }, h("span", { "aria-hidden": "true" }, sign));
    const play = button("play", "play", "▶", () => this.toggle());
    const range = h("input.scrubber", { type: "range", min: 1, step: 1, "aria-label": "step", oninput: (event) => this.set({ step: Number(event.target.value) }) });
    const label = h("span.step-label");
    const depths = h("div.depths");
    const box = h(
      "div.player",
      { role: "region", "aria-label": "Player" },
      h("div.transport", {},
        button("back", "step back", "◀", () => this.step(-1)), play, button("on", "step on", "▶︎|", () => this.step(1)), range, label),
      depths,
    );
    box.querySelector('[data-key="player on"]').firstChild.textContent = "▶";
    play.classList.add("play");
    return { box, play, range, label, depths };
  }

  updatePlayer(views) {
    const { play, range, label, depths } = this.player;
    const view = longest(views);
    const { steps } = view.run;
    const playing = this.timer !== null;
    play.setAttribute("aria-label", playing ? "pause" : "play");
    play.title = playing ? "pause" : "play";
    play.firstChild.textContent = playing ? "❚❚" : "play";
    range.max = steps.length;
    range.value = view.step + 1;
    range.style.setProperty("--done", steps.length > 1 ? view.step / (steps.length - 1) : 1);
    range.setAttribute("aria-valuetext", `step ${view.step + 1} of ${steps.length}: ${view.run.target.tokens[view.step].label}`);
    label.replaceChildren(`step ${view.step + 1} of ${steps.length} `, h("bdi", {}, view.run.target.tokens[view.step].label));
    depths.replaceChildren(choice("Depth", DEPTHS.map((depth) => [depth, depth]), this.state.depth, (depth) => this.set({ depth }), "depth"));
  }

  step(by) {
    const view = longest(this.views());
    const next = clamp(view.step + 1 + by, 1, view.run.steps.length);
    this.set({ step: next });
  }

  toggle() {
    if (this.timer !== null) {
      this.stop();
      return;
    }
    const view = longest(this.views());
    if (!this.state.step || view.step === view.run.steps.length - 1) this.set({ step: 1 });
    if (!STEP_CHAPTERS.includes(this.state.chapter)) this.set({ chapter: "attention" });
    this.timer = setInterval(() => {
      const now = longest(this.views());
      if (now.step >= now.run.steps.length - 1) this.stop();
      else this.step(1);
    }, PLAY_MS);
    this.render();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.render();
  }

  // --------------------------------------------------------------------------------------------------- keys and pointer

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.keysBox.open) return;
    const inside = event.target.closest?.("input, select, textarea");
    if (inside) return;
    if (event.target.closest?.('[role="tab"]') && ["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) {
      const { chapters } = this;
      const here = chapters.indexOf(this.state.chapter);
      const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: chapters.length - 1 }[event.key];
      if (chapters[to]) {
        this.go(chapters[to]);
        this.tabs.querySelector('[aria-selected="true"]').focus();
      }
      event.preventDefault();
      return;
    }
    const onButton = event.target.closest?.("button, summary, a");
    const scrollable = event.target.closest?.('[tabindex="0"][data-scroll]');
    const [view] = this.views();
    const { run } = view;
    const { chapters } = this;
    const chapter = chapters.indexOf(this.state.chapter);
    const actions = {
      " ": onButton ? null : () => this.toggle(),
      ArrowRight: scrollable ? null : () => this.step(1),
      ArrowLeft: scrollable ? null : () => this.step(-1),
      ".": () => this.set({ source: clamp(view.source + 2, 1, run.source.tokens.length) }),
      ",": () => this.set({ source: clamp(view.source, 1, run.source.tokens.length) }),
      n: () => this.go(chapters[Math.min(chapter + 1, chapters.length - 1)]),
      p: () => this.go(chapters[Math.max(chapter - 1, 0)]),
      d: () => this.set({ depth: DEPTHS[(DEPTHS.indexOf(this.state.depth) + 1) % DEPTHS.length] }),
      h: () => run.heads > 1 && this.set({ head: (view.head + 2) % (run.heads + 1) }),
      l: () => run.layers.length > 1 && this.set({ layer: run.layers[(run.layers.indexOf(view.layer) + 1) % run.layers.length] + 1 }),
      s: () => this.open((this.sentence + 1) % this.sentences.length),
      S: () => this.open((this.sentence || this.sentences.length) - 1),
      w: () => this.set({ level: view.level === "words" ? "tokens" : "words" }),
      "?": () => this.keysBox.showModal(),
    };
    const action = actions[event.key] ?? (chapters[Number(event.key) - 1] ? () => this.go(chapters[Number(event.key) - 1]) : null);
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** The number under the pointer. */
  read(event) {
    const drawing = event.target.closest?.(".wave, .canvas-box, .layer-line");
    const [known, tell] = [drawing && vectors.get(drawing), drawing && readings.get(drawing)];
    this.reading.classList.toggle("on", Boolean(known || tell));
    if (!known && !tell) return;
    const place = drawing.getBoundingClientRect();
    if (tell) this.reading.textContent = tell((event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height);
    else {
      const index = clamp(Math.floor(((event.clientX - place.left) / place.width) * known.values.length), 0, known.values.length - 1);
      this.reading.textContent = `${index + 1}: ${number(known.values[index], 5)}`;
    }
    const { width } = this.reading.getBoundingClientRect();
    this.reading.style.setProperty("left", `${clamp(event.clientX - width / 2, 8, innerWidth - width - 8)}px`);
    this.reading.style.setProperty("top", `${place.top - 32}px`);
  }

  /** On paper, all chapters follow each other, for the step that is shown. */
  print(begin) {
    if (!begin) {
      this.render();
      return;
    }
    const [view] = this.views();
    this.stage.replaceChildren(...this.chapters.map((key) => this.chapter(view, key)));
  }
}

/** Of runs side by side, the one with the most steps leads. @param {View[]} views */
const longest = (views) => views.reduce((one, other) => (other.run.steps.length > one.run.steps.length ? other : one));

/** The sentences that texts begin with alike, and what each goes on with. @returns {[string, string[]]} */
function parted(texts) {
  const sentences = texts.map((text) => text.split(/(?<=[.?!]) (?=\p{Lu})/u));
  const first = sentences[0].findIndex((sentence, index) => sentences.some((each) => each[index] !== sentence));
  const alike = first < 0 ? sentences[0].length : first;
  return [sentences[0].slice(0, alike).join(" "), sentences.map((each) => each.slice(alike).join(" "))];
}

/** A part of a chapter by its heading, without the words and numbers of the run. */
function headingOf(part) {
  const heading = part.querySelector("h3")?.cloneNode(true);
  heading?.querySelectorAll("bdi").forEach((word) => word.remove());
  return heading?.textContent.replace(/\d+/g, "") ?? "";
}

/** The parts of two runs that have the same headings beside each other, in order; null where one has no such part. */
function paired([one, other]) {
  const headings = other.map(headingOf);
  // Where nothing is alike, what is short comes first.
  if (!one.some((part) => headings.includes(headingOf(part)))) {
    const rows = [one.map((part) => [part, null]), other.map((part) => [null, part])];
    return rows.sort((few, more) => few.length - more.length).flat();
  }
  const rows = [];
  let next = 0;
  for (const part of one) {
    const at = headings.indexOf(headingOf(part), next);
    if (at < 0) rows.push([part, null]);
    else {
      rows.push(...other.slice(next, at).map((each) => [null, each]), [part, other[at]]);
      next = at + 1;
    }
  }
  return [...rows, ...other.slice(next).map((each) => [null, each])];
}

/** The heading and the notes that two parts begin with alike, which are taken out of both. */
function sharedHead(parts) {
  const shared = [];
  for (;;) {
    const [one, other] = parts.map((part) => part.firstElementChild);
    if (!one?.matches("h3, p.note") || one.querySelector("button") || !other || !one.isEqualNode(other)) return shared;
    other.remove();
    shared.push(one);
    one.remove();
  }
}

/** A document with the sound or picture that the page keeps beside it. */
function withMedia(doc) {
  const kept = doc.input?.media && document.getElementById(doc.input.media.element);
  if (!kept) return doc;
  const base64 = kept.getAttribute("src").split(",", 2)[1];
  return { ...doc, input: { ...doc.input, media: { type: doc.input.media.type, base64 } } };
}

/** What the picture of the whole shows. */
function mediaCaption({ run, inStep }) {
  if (run.fixed) return "This model reads the whole source from a single vector, c.";
  if (!run.attends) return "This model does not reveal where it looked.";
  const look = hears(run) ? "listened" : "looked";
  if (!inLine(run)) return `${inStep ? "What is veiled was hardly read; purple is what was read." : "Purple is what was read for each word."} The number is the largest weight of a patch. It shows where the model ${look}, not why it chose a word.`;
  return `Each word hangs from the ${hears(run) ? "sound" : "pixels"} that ${hears(run) ? "was" : "were"} read for it: the stronger the colour, the more.${inStep ? " What is veiled was hardly read for this one." : ""} It shows where the model ${look}, not why it chose a word.`;
}

/** Scrolls a box, and nothing else, so far that what is chosen in it can be seen. */
function reveal(box) {
  const place = box.getBoundingClientRect();
  for (const chosen of box.querySelectorAll(".target .current, .layer.current, .layer-row.current, .vector-item.current, tr.marked, .in-row.in-column")) {
    const here = chosen.getBoundingClientRect();
    if (here.left < place.left || here.right > place.right) box.scrollLeft += (here.left + here.right - place.left - place.right) / 2;
    if (here.top < place.top || here.bottom > place.bottom) box.scrollTop += (here.top + here.bottom - place.top - place.bottom) / 2;
  }
}

const EDGES = { left: (box) => box.scrollLeft, right: (box) => box.scrollWidth - box.clientWidth - box.scrollLeft, up: (box) => box.scrollTop, down: (box) => box.scrollHeight - box.clientHeight - box.scrollTop };

/** Marks the edges at which scrolling boxes have more, which fade. */
function cue(boxes) {
  // All are measured before one is marked: a mark in between would have the browser lay out the page for each.
  const marks = boxes.map((box) => {
    const down = getComputedStyle(box).overflowY === "auto";
    return Object.entries(EDGES).map(([edge, left]) => [`more-${edge}`, Math.abs(left(box)) > 2 && (down || edge === "left" || edge === "right")]);
  });
  boxes.forEach((box, index) => marks[index].forEach(([mark, more]) => box.classList.contains(mark) === more || box.classList.toggle(mark)));
}

const cueAll = (root) => cue([...root.querySelectorAll(SCROLLING)]);

function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const shortName = (name) => visible(String(name).replace(/\/+$/, "").split("/").slice(-1)[0] || "model");

/** A sentence and what it was translated to; without the one, the other alone. */
function pair(source, target, arrow = true) {
  const said = [source, target].filter(Boolean);
  const size = said.reduce((total, { text }) => total + text.length, 0);
  return h("p.pair", { class: size > 600 ? "endless" : size > 110 ? "long" : "", ...(size > 600 ? { "data-scroll": "pair", tabindex: 0 } : {}) },
    source && h("bdi", {}, visible(source.text)),
    arrow && target && [h("span.to", { "aria-hidden": "true" }, source ? " → " : "→ "), h("span.hidden", {}, "was translated as")],
    target && h("bdi.translated", {}, visible(target.text)));
}

/** The parts of a run's model, and its name. */
const about = (run) => [h("span", {}, describeModel(run)), run.name === run.document.model.name ? null : h("span.model-name", {}, shortName(run.document.model.name))];
const named = (run) => `${describeModel(run)} ${run.document.model.name}`;

/** GRU encoder, additive attention, GRU decoder */
function describeModel({ document: doc, heads, kinds }) {
  const size = (part, cell) => `${part.layers > 1 ? `${part.layers}-layer ` : ""}${cell?.name ?? { transformer: "Transformer" }[part.type] ?? doc.model.model_type}`;
  const kind = String(doc.attention?.type ?? "attention").replaceAll("_", "-");
  const attention = kind === "none" ? "no attention" : `${kind} attention${heads > 1 ? ` with ${heads} heads` : ""}`;
  const decoder = `${size(doc.decoder ?? {}, kinds.decoder)} decoder${kinds.mixer ? ` with ${kinds.mixer.short}` : ""}`;
  return doc.encoder && doc.decoder ? `${size(doc.encoder, kinds.encoder)} encoder, ${attention}, ${decoder}` : doc.model.class;
}

function keysDialog(several) {
  const keys = [
    ["1 … 9", "a chapter"], ["n, p", "next, previous chapter"], ["← →", "a step back, a step on"], [", .", "previous, next source token"], ["space", "play, pause"],
    ["d", "deeper: bars, numbers, vectors"], ["h, l", "next head, next layer"], ["w", "words or pieces"], ...(several ? [["s, S", "next, previous sentence"]] : []), ["arrows in a map", "from cell to cell"], ["?", "this list"],
  ];
  const box = h("dialog.keys", { "aria-label": "Keys" }, h("h2", {}, "Keys"),
    h("dl", {}, keys.map(([key, what]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)))),
    h("button.option", { type: "button", onclick: () => box.close() }, "Close"));
  return box;
}
