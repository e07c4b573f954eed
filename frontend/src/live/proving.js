// The checks of the runs that are shown, made in the pauses of the page.
import { Superseded, turns } from "./turns.js";

const REST_MS = 50; // for the picture to be painted first

export class Proving {
  constructor() {
    this.number = 0; // of the newest start or stop, which ends what began earlier
  }

  stop() {
    this.number++;
  }

  /**
   * Checks runs, and lets the page say so.
   * @param {import("../app.js").App} app
   * @param {import("../run.js").Run[]} runs
   */
  async start(app, runs) {
    const number = ++this.number;
    const wanted = () => {
      if (number !== this.number) throw new Superseded();
    };
    try {
      await new Promise((done) => setTimeout(done, REST_MS));
      for (const run of runs.filter(({ document }) => !document.checks.length)) {
        wanted();
        run.document.checks = await run.engine.checks(run, turns(wanted));
        wanted();
        app.renderFoot();
      }
    } catch (error) {
      if (!(error instanceof Superseded)) throw error;
    }
  }
}
