// Formulas that are computed as they are written, by the rules of hf_attn_seq2seq/explain/formulas.py.

const FUNCTIONS = {
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  relu: (x) => Math.max(x, 0),
  exp: Math.exp,
  sqrt: Math.sqrt,
  abs: Math.abs,
};

const TOKEN = /\s*(?:(\d+(?:\.\d+)?)|(\p{L}+'?)(?:_[\p{L}\p{N}]+)?|([-+*/^()]))/uy;

/** @returns {{kind: "number"|"symbol"|"sign", text: string}[]} */
function tokens(formula) {
  const found = [];
  const text = formula.trimEnd();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const match = TOKEN.exec(text);
    if (!match) throw new Error(`'${formula}' is not a formula.`);
    const kind = match[1] ? "number" : match[2] ? "symbol" : "sign";
    found.push({ kind, text: match[1] ?? match[2] ?? match[3] });
  }
  return found;
}

/**
 * A formula, ready to be computed.
 * @returns {(get: (symbol: string) => number, note?: (name: string, value: number) => void) => number} given the values
 *   of its symbols; `note` is told the value of each function in it
 */
export function compile(formula) {
  const left = tokens(formula);
  const isSign = (...signs) => left[0]?.kind === "sign" && signs.includes(left[0].text);
  const take = (...signs) => (isSign(...signs) ? left.shift().text : null);
  const made = sum();
  if (left.length) throw new Error(`'${formula}' is not a formula.`);
  return made;

  function sum() {
    const first = take("-") ? negated(product()) : product();
    const rest = [];
    for (let sign = take("+", "-"); sign; sign = take("+", "-")) rest.push(sign === "-" ? negated(product()) : product());
    return (get, note) => rest.reduce((total, term) => total + term(get, note), first(get, note));
  }

  function negated(term) {
    return (get, note) => -term(get, note);
  }

  function product() {
    let value = power();
    for (;;) {
      const before = value;
      const divides = take("/");
      if (!divides && !take("*") && !(left[0] && left[0].kind !== "sign") && !isSign("(")) return value;
      const factor_ = power();
      value = divides ? (get, note) => before(get, note) / factor_(get, note) : (get, note) => before(get, note) * factor_(get, note);
    }
  }

  function power() {
    const base = factor();
    if (!take("^")) return base;
    const exponent = factor();
    return (get, note) => base(get, note) ** exponent(get, note);
  }

  function factor() {
    if (take("(")) {
      const inner = sum();
      if (!take(")")) throw new Error(`'${formula}' is not a formula.`);
      return inner;
    }
    const { kind, text } = left.shift() ?? {};
    if (kind === "number") return () => Number(text);
    if (kind !== "symbol") throw new Error(`'${formula}' is not a formula.`);
    if (!Object.hasOwn(FUNCTIONS, text)) return (get) => get(text);
    const argument = factor();
    return (get, note) => {
      const value = FUNCTIONS[text](argument(get, note));
      note?.(text, value);
      return value;
    };
  }
}

/** The symbols of a formula. */
export const symbolsOf = (formula) =>
  tokens(formula).filter(({ kind, text }) => kind === "symbol" && !Object.hasOwn(FUNCTIONS, text)).map(({ text }) => text);

/** A formula with numbers in the place of its symbols, such as "(1 − 0.25) × 0.5". */
export function worked(formula, say) {
  const parts = [];
  let before = null;
  for (const token of tokens(formula)) {
    const { kind, text } = token;
    const isFunction = kind === "symbol" && Object.hasOwn(FUNCTIONS, text);
    const ends = before && (before.kind === "number" || (before.kind === "symbol" && !Object.hasOwn(FUNCTIONS, before.text)) || before.text === ")");
    if (ends && (kind !== "sign" || text === "(")) parts.push(" × ");
    if (kind === "symbol" && !isFunction) parts.push(say(text));
    else if (kind === "sign" && !"()".includes(text)) parts.push(ends ? ` ${SIGNS[text] ?? text} ` : (SIGNS[text] ?? text));
    else parts.push(text);
    before = token;
  }
  return parts.join("");
}

const SIGNS = { "-": "−", "*": "×" };
