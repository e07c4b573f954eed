// The words of a text, and which word a token belongs to.

/** @param {string} pattern of a word, as Python cuts them */
export function cutWords(text, pattern) {
  const found = [];
  let [place, units] = [0, 0];
  for (const match of text.matchAll(new RegExp(pattern, "gu"))) {
    place += [...text.slice(units, match.index)].length;
    const [word] = match;
    const span = [place, place + [...word].length];
    found.push({ text: word, span });
    [place, units] = [span[1], match.index + word.length];
  }
  return found;
}

/** For each token the word that most of it lies in, or null; a blank counts for the word that follows. */
export function tokenWords(spans, words) {
  return spans.map((span) => {
    const [start, end] = span ?? [0, 0];
    if (!end || !words.length) return null;
    const common = words.map(({ span: [first, last] }) => Math.max(0, Math.min(end, last) - Math.max(start, first)));
    const most = common.reduce((best, size, index) => (size > common[best] ? index : best), 0);
    if (common[most]) return most;
    const following = words.findIndex(({ span: [first] }) => first >= start);
    return following < 0 ? null : following;
  });
}
