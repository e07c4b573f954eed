// The checks of the runs that are shown, made in the pauses of the page.
import { Newest, Superseded, turns } from "./turns.js";

const REST_MS = 50; // for the picture to be painted first

export class Proving {
  constructor() {
    this.newest = new Newest();
  }

  stop() {
    this.newest.stop();
  }

  /**
   * Checks runs, and lets the page say so.
   * @param {import("../app.js").App} app
   * @param {import("../run.js").Run[]} runs
   */
  async start(app, runs) {
    const wanted = this.newest.begin();
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
