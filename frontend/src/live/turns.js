// Taking turns: a long run lets the browser read keys and paint, and ends where something newer was asked.

/** Ends a run that is not wanted any more. */
export class Superseded extends Error {}

/** Of things that end each other, which is the newest. */
export class Newest {
  number = 0;

  /** Begins the next, and ends what runs. @returns {() => void} raises a `Superseded` once it is not the newest any more */
  begin() {
    const number = ++this.number;
    return () => {
      if (number !== this.number) throw new Superseded();
    };
  }

  /** Ends what runs. */
  stop() {
    this.number++;
  }
}

const TURN_MS = 30;

/** Lets the browser do what waits. */
export function pause() {
  // A message and not a timer, for browsers delay timers that follow each other.
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(null);
  });
}

/**
 * To be awaited between the parts of a run.
 * @param {() => void} wanted raises a `Superseded` where the run is not wanted
 */
export function turns(wanted) {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < TURN_MS) return;
    await pause();
    wanted();
    since = performance.now();
  };
}
