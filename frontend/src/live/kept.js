// Runs by what was asked, so that nothing is computed twice: as many as fit; of older ones, what a list of sentences tells.

const MOST_BYTES = 96e6; // of numbers
const MOST_ROWS = 10_000;

export class Kept {
  constructor() {
    this.runs = new Map();
    this.rows = new Map();
    this.bytes = 0;
  }

  /** @returns {import("../run.js").Run|null} */
  run(key) {
    const run = this.runs.get(key) ?? null;
    if (run) {
      this.runs.delete(key); // to be the newest
      this.runs.set(key, run);
    }
    return run;
  }

  /** What the list of sentences tells of a run. @returns {{translation: string, score: number}|undefined} */
  row(key) {
    return this.rows.get(key);
  }

  add(key, run) {
    this.runs.set(key, run);
    this.bytes += size(run);
    for (const [old, each] of this.runs) {
      if (this.bytes <= MOST_BYTES || old === key) break;
      this.runs.delete(old);
      this.bytes -= size(each);
    }
    this.rows.set(key, { translation: run.target.text, score: run.document.run.score });
    if (this.rows.size > MOST_ROWS) this.rows.delete(this.rows.keys().next().value);
  }
}

const size = (run) => Object.values(run.packed).reduce((sum, { data }) => sum + data.byteLength, 0);
