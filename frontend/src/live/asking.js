// What the reader asks, and the runs that answer it: the newest question alone, and one run at a time.
import { App } from "../app.js";
import { whole } from "../dom.js";
import { Run } from "../run.js";
import { readAddress } from "../state.js";
import { Changing } from "./changing.js";
import { Refusal } from "./files.js";
import { Kept } from "./kept.js";
import { Proving } from "./proving.js";
import { Newest, Superseded, pause } from "./turns.js";

const BURST_MS = 1500; // keys that follow each other faster are one edit
const MOST_CHARACTERS = 100_000;

/**
 * @typedef {{ text: string, given: string, beams: number, chosen: number|null, place: number|null }} Question
 *   `given` is a translation to follow, or blank; the sentence to look at is number `chosen`, from 0, or that at a place of the
 *   text, or the one that is looked at
 */
export class Asking {
  /**
   * @param {import("./engine.js").Engine} engine
   * @param {HTMLElement} root where the runs are shown
   * @param {{answered: (answer: any) => void, failed: (error: any, shown: string|null) => void}} tell
   */
  constructor(engine, root, tell) {
    this.engine = engine;
    this.root = root;
    this.tell = tell;
    this.question = { text: "", given: "", beams: engine.settings.search.num_beams, chosen: null, place: null };
    this.kept = new Kept();
    this.proving = new Proving();
    this.changing = new Changing(this.proving);
    this.app = null;
    this.shown = []; // the sentences on the page, with the keys of their runs
    this.before = { shown: [], at: -Infinity }; // what stood when the present edit began
    this.beside = { offered: false, wanted: true }; // whether the reader leaves an earlier run beside the newest
    this.newest = new Newest();
    this.wanted = null; // of the newest question
    this.busy = null;
  }

  /**
   * Asks for something else; returns when this, or what was asked after it, is answered.
   * @param {Partial<Question>} change
   */
  ask(change) {
    this.question = { ...this.question, chosen: null, place: null, ...change };
    this.wanted = this.newest.begin();
    this.proving.stop();
    this.busy ??= this.answer().finally(() => (this.busy = null));
    return this.busy;
  }

  /** Asks for what was typed: what stood before the first of quick keys is shown beside it. @param {Partial<Question>} change */
  edit(change) {
    const now = performance.now();
    if (now - this.before.at > BURST_MS) this.before.shown = this.shown;
    this.before.at = now;
    return this.ask(change);
  }

  /** Asks for another text altogether. @param {Partial<Question>} change */
  begin(change) {
    this.before.shown = [];
    this.shown = [];
    return this.ask({ ...change, chosen: this.app ? 0 : null });
  }

  async answer() {
    for (let wanted = null; wanted !== this.wanted; ) {
      wanted = this.wanted;
      try {
        await this.run(this.question, wanted);
      } catch (error) {
        if (!(error instanceof Superseded)) this.tell.failed(error, this.app?.runs[0].source.text ?? null);
      }
    }
  }

  /** @param {Question} question @param {() => void} wanted raises a `Superseded` where it is not any more */
  async run(question, wanted) {
    const began = performance.now();
    const { length } = question.text;
    if (length > MOST_CHARACTERS) throw new Refusal(`This text has ${whole(length)} characters, and the page takes ${whole(MOST_CHARACTERS)} at most: give it a part.`);
    const sentences = this.engine.sentences(question.text).map((sentence) => ({ ...sentence, key: JSON.stringify([sentence.text, question.given.trim(), question.beams]) }));
    if (sentences.length > 1 && question.given.trim()) {
      throw new Refusal(`A translation to follow belongs to one sentence, and this text has ${sentences.length}: leave one of them, or empty that field.`);
    }
    const at = question.place === null ? -1 : sentences.findIndex(({ end }) => question.place <= end);
    const looked = question.chosen ?? (at < 0 ? null : at) ?? this.app?.sentence ?? readAddress().sentence - 1;
    const chosen = Math.min(Math.max(looked, 0), sentences.length - 1);
    const rows = sentences.map(({ text, key }, index) => ({ index, text, kept: true, ...(this.told({ text, key }) ?? { translation: "…", score: null, pending: true, ...(this.engine.second ? { second: "…" } : {}) }) }));
    const make = async (index) => {
      const { second } = this.engine;
      const both = async () => {
        await this.made(sentences[index], question, wanted);
        if (second) await this.made(ofSecond(sentences[index]), question, wanted, second);
      };
      await both().catch((error) => {
        throw error instanceof Refusal && rows.length > 1 ? new Refusal(`Sentence ${index + 1}: ${error.message}`) : error;
      });
      rows[index] = { ...rows[index], ...this.told(sentences[index]), pending: false };
    };
    const tell = () => this.tell.answered({ text: question.text, sentences, rows, run: this.app.runs[this.app.state.run - 1] ?? this.app.runs[0], took: performance.now() - began });
    await make(chosen);
    const runs = this.runsOf(sentences[chosen]);
    const changed = await this.changing.again(runs, new Set(sentences.map(({ text }) => text)), wanted);
    this.show(sentences, rows, chosen, runs, changed);
    tell();
    for (const { index } of rows.filter(({ pending }) => pending)) {
      await pause();
      wanted();
      try {
        await make(index);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        rows[index] = { ...rows[index], translation: "", note: error.message, kept: false, pending: false };
      }
      this.app.tellSentence(rows[index]);
      tell();
    }
    this.proving.start(this.app, this.app.runs);
  }

  /** The run of a sentence, made now if it is not kept. */
  async made({ text, key }, { given, beams }, wanted, engine = this.engine) {
    const known = this.kept.run(key);
    if (known) return known;
    const run = new Run(await engine.trace(text, given, { beams, wanted }), [], []);
    run.engine = engine;
    this.kept.add(key, run);
    return run;
  }

  /** What the list of sentences tells of one, by both models; undefined where it was not translated. */
  told(sentence) {
    const first = this.kept.row(sentence.key);
    if (!first || !this.engine.second) return first;
    const second = this.kept.row(ofSecond(sentence).key);
    return second && { ...first, second: second.translation };
  }

  /** The runs of a sentence that was translated, by each model. */
  runsOf(sentence) {
    const { second, settings: { names } } = this.engine;
    const run = this.kept.run(sentence.key);
    return second ? [run.named(names[0]), this.kept.run(ofSecond(sentence).key).named(names[1])] : [run];
  }

  /** @param {Run[]} made those of the chosen sentence @param {Run[]} changed those with something changed in them */
  show(sentences, rows, chosen, made, changed) {
    const { settings } = this.engine;
    const runs = [...made];
    const earlier = this.earlier(sentences, chosen);
    if (this.beside.offered) this.beside.wanted = this.app.state.beside > 0;
    this.beside.offered = Boolean(earlier);
    if (earlier) runs.push(earlier.named(`before: ${earlier.name}`));
    runs.push(...changed);
    const overview = rows.length > 1 ? rows : [];
    const place = { sentences: Object.assign(Array(rows.length), { [chosen]: runs }), overview, sentence: chosen + 1, ...this.placed(earlier, runs) };
    if (this.app) this.app.replace(place);
    else {
      const make = (index) => this.ask({ chosen: index });
      this.app = new App(this.root, place.sentences, { left_out: [], overview, beside: place.beside, facts: () => this.engine.memory(), make, changes: this.changing, models: settings.names });
      this.app.start();
    }
    this.shown = sentences;
  }

  /** Which run is shown, and which beside it: of two models what was chosen, else an earlier text as it was left. */
  placed(earlier, runs) {
    const changed = runs.findIndex(({ parent }) => parent !== null);
    if (changed >= 0) return { run: runs[changed].parent + 1, beside: changed + 1 };
    if (!this.engine.second) return { run: 1, beside: earlier && this.beside.wanted ? 2 : 0 };
    const { run, beside } = this.app?.state ?? { run: 1, beside: 2 };
    return run <= 2 && beside <= 2 ? { run, beside } : { run: 1, beside: 2 };
  }

  /** The run of what a sentence was before the edit, if nothing else was edited. */
  earlier(sentences, chosen) {
    const { shown } = this.before;
    const same = (index, back) => sentences.at(index)?.key !== undefined && sentences.at(index).key === shown.at(index - back)?.key;
    const gone = shown.length === sentences.length && sentences.every((_, index) => (index === chosen) !== same(index, 0));
    return gone ? this.kept.run(shown[chosen].key) : null;
  }
}

/** A sentence, to be read by the second model. */
const ofSecond = ({ text, key }) => ({ text, key: `second ${key}` });
