// Probabilities in double precision, as Python computes them from the same logits.

/** @returns {{logsumexp: number, logs: Float64Array}} the log-probabilities of logits */
export function logSoftmax(logits) {
  let [most, sum] = [-Infinity, 0];
  for (const logit of logits) most = Math.max(most, logit);
  for (const logit of logits) sum += Math.exp(logit - most);
  const logsumexp = most + Math.log(sum);
  return { logsumexp, logs: Float64Array.from(logits, (logit) => logit - logsumexp) };
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
