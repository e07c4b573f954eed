// What happens inside a recurrent cell, for one token.
import { h, number } from "../dom.js";
import { argmax, CELLS, difference, largest } from "../math.js";
import { checkAll, table, vectorRow } from "../marks.js";

const SAYS = {
  reset: "reset gate r: how much of the memory the candidate sees",
  candidate: "candidate n: what could be remembered instead",
  input: "input gate i: how much of the candidate enters",
  forget: "forget gate f: how much of the cell is kept",
  output: "output gate o: how much of the cell is shown",
  keep: "kept share k = f / (f + i): how much of the memory is kept",
};
const UPDATE = { gru: "update gate z: how much of the memory is kept", min_gru: "update gate z: how much of the candidate enters" };

/** The step of one component, in numbers: `n` gives that of a vector. */
const TERMS = {
  gru: (n, gates, before, made) => [`h′ = (1 − ${n(gates.update)}) × ${n(gates.candidate)} + ${n(gates.update)} × ${n(before.hidden)} = ${n(made.hidden)}`],
  lstm: (n, gates, before, made) => [
    `c′ = ${n(gates.forget)} × ${n(before.cell)} + ${n(gates.input)} × ${n(gates.candidate)} = ${n(made.cell)}`,
    `h′ = ${n(gates.output)} × tanh(${n(made.cell)}) = ${n(made.hidden)}`,
  ],
  ssru: (n, gates, before, made) => [
    `c′ = ${n(gates.forget)} × ${n(before.cell)} + (1 − ${n(gates.forget)}) × ${n(gates.candidate)} = ${n(made.cell)}`,
    `h′ = max(${n(made.cell)}, 0) = ${n(made.hidden)}`,
  ],
  min_gru: (n, gates, before, made) => [`h′ = (1 − ${n(gates.update)}) × ${n(before.hidden)} + ${n(gates.update)} × ${n(gates.candidate)} = ${n(made.hidden)}`],
  min_lstm: (n, gates, before, made) => [
    `k = ${n(gates.forget)} / (${n(gates.forget)} + ${n(gates.input)}) = ${n(gates.keep)}`,
    `h′ = ${n(gates.keep)} × ${n(before.hidden)} + (1 − ${n(gates.keep)}) × ${n(gates.candidate)} = ${n(made.hidden)}`,
  ],
};

/**
 * @param {string} kind of cell
 * @param {(name: string) => ArrayLike<number>|null} gate numbers of one gate at this step
 * @param {{hidden: ArrayLike<number>, cell?: ArrayLike<number>}} before
 * @param {{hidden: ArrayLike<number>, cell?: ArrayLike<number>}} after
 */
export function cellView(view, kind, gate, before, after, where, skip = []) {
  const { gates: names, formula, step } = CELLS[kind];
  const gates = Object.fromEntries(names.map((name) => [name, gate(name)]));
  if (names.some((name) => !gates[name])) return [];
  const made = step(gates, before);
  const change = Float64Array.from(after.hidden, (value, i) => Math.abs(value - before.hidden[i]));
  const i = argmax(change);
  const off = Math.max(...Object.keys(made).map((part) => difference(made[part], after[part])));
  const { depth } = view;
  const row = (label, values, role = "ink") =>
    vectorRow([label.split(": ")[0], label.includes(": ") && h("span.row-note", {}, label.split(": ")[1])], values, { role, name: `${label} ${where}`, max: / gate |share/.test(label) ? 1 : undefined }, depth);
  const terms = TERMS[kind]((values) => number(values[i], 4), gates, before, made);
  return [
    !skip.includes("before") && row("memory before", before.hidden, "query"),
    made.cell && row("cell before", before.cell),
    names.map((name) => row(SAYS[name] ?? UPDATE[kind], gates[name])),
    made.cell && row("cell after", after.cell),
    row("memory after", after.hidden, "query"),
    depth === "numbers" || depth === "vectors"
      ? h("div.worked", {}, h("p.note", {}, `Component ${i + 1}, which changes most, step by step:`), terms.map((term) => h("p.formula", {}, term)))
      : null,
    checkAll(formula, off, after.hidden.length * Object.keys(made).length, largest(after.hidden)),
    depth === "vectors" &&
      table(
        `Every number of the step ${where}`,
        ["i", "before", ...names, "after"],
        Array.from(after.hidden, (value, i) => [i + 1, number(before.hidden[i], 5), ...names.map((name) => number(gates[name][i], 5)), number(value, 5)]),
        { scroll: `cell ${where}` },
      ),
  ];
}
