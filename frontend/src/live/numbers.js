// Probabilities in double precision, as Python computes them from the same logits.

/** @returns {{logsumexp: number, logs: Float64Array}} the log-probabilities of logits */
export function logSoftmax(logits) {
  // By index: over thousands of numbers at each step, iterators take most of a trace's time.
  let [most, sum] = [-Infinity, 0];
  for (let id = 0; id < logits.length; id++) most = Math.max(most, logits[id]);
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id] - most);
  const logsumexp = most + Math.log(sum);
  const logs = new Float64Array(logits.length);
  for (let id = 0; id < logits.length; id++) logs[id] = logits[id] - logsumexp;
  return { logsumexp, logs };
}

/** How many are larger than a number. */
export function countAbove(values, least) {
  let count = 0;
  for (let at = 0; at < values.length; at++) if (values[at] > least) count++;
  return count;
}

/** The total probability of all but some. */
export function restOf(logs, shown) {
  const left = logs.slice();
  for (const id of shown) left[id] = -Infinity;
  let sum = 0;
  for (let id = 0; id < left.length; id++) sum += Math.exp(left[id]);
  return sum;
}

/** The places of the largest, in order; of equal ones, the first. */
export function largest(values, count) {
  const found = [];
  for (let at = 0; at < values.length; at++) {
    if (found.length === count && values[at] <= values[found[count - 1]]) continue;
    let place = found.length;
    while (place > 0 && values[at] > values[found[place - 1]]) place--;
    found.splice(place, 0, at);
    if (found.length > count) found.pop();
  }
  return found;
}
