// What happens inside a GRU or an LSTM cell, for one token.
import { h, number } from "../dom.js";
import { argmax, cellStep, difference, largest } from "../math.js";
import { checkAll, table, vectorRow } from "../marks.js";

const GRU = ["reset", "update", "candidate"];
const LSTM = ["input", "forget", "candidate", "output"];
const SAYS = {
  reset: "reset gate r: how much of the memory the candidate sees",
  update: "update gate z: how much of the memory is kept",
  candidate: "candidate n: what could be remembered instead",
  input: "input gate i: how much of the candidate enters",
  forget: "forget gate f: how much of the cell is kept",
  output: "output gate o: how much of the cell is shown",
};

/**
 * @param {(name: string) => ArrayLike<number>|null} gate numbers of one gate at this step
 * @param {{hidden: ArrayLike<number>, cell?: ArrayLike<number>}} before
 * @param {{hidden: ArrayLike<number>, cell?: ArrayLike<number>}} after
 */
export function cellView(view, gate, before, after, where, skip = []) {
  const lstm = Boolean(gate("forget"));
  const names = lstm ? LSTM : GRU;
  const gates = Object.fromEntries(names.map((name) => [name, gate(name)]));
  if (names.some((name) => !gates[name])) return [];
  const made = cellStep(gates, before);
  const change = Float64Array.from(after.hidden, (value, i) => Math.abs(value - before.hidden[i]));
  const i = argmax(change);
  const off = Math.max(difference(made.hidden, after.hidden), lstm ? difference(made.cell, after.cell) : 0);
  const { depth } = view;
  const row = (label, values, role = "ink") =>
    vectorRow([label.split(": ")[0], label.includes(": ") && h("span.row-note", {}, label.split(": ")[1])], values, { role, name: `${label} ${where}`, max: label.includes("gate") ? 1 : undefined }, depth);
  const n = (values) => number(values[i], 4);
  const terms = lstm
    ? [`c′ = ${n(gates.forget)} × ${n(before.cell)} + ${n(gates.input)} × ${n(gates.candidate)} = ${n(made.cell)}`,
      `h′ = ${n(gates.output)} × tanh(${n(made.cell)}) = ${n(made.hidden)}`]
    : [`h′ = (1 − ${n(gates.update)}) × ${n(gates.candidate)} + ${n(gates.update)} × ${n(before.hidden)} = ${n(made.hidden)}`];
  return [
    !skip.includes("before") && row("memory before", before.hidden, "query"),
    lstm && row("cell before", before.cell),
    names.map((name) => row(SAYS[name], gates[name])),
    lstm && row("cell after", after.cell),
    row("memory after", after.hidden, "query"),
    depth === "numbers" || depth === "vectors"
      ? h("div.worked", {}, h("p.note", {}, `Component ${i + 1}, which changes most, step by step:`), terms.map((term) => h("p.formula", {}, term)))
      : null,
    checkAll(lstm ? "c′ = f c + i n, h′ = o tanh(c′)" : "h′ = (1 − z) n + z h", off, after.hidden.length * (lstm ? 2 : 1), largest(after.hidden)),
    depth === "vectors" &&
      table(
        `Every number of the step ${where}`,
        ["i", "before", ...names, "after"],
        Array.from(after.hidden, (value, i) => [i + 1, number(before.hidden[i], 5), ...names.map((name) => number(gates[name][i], 5)), number(value, 5)]),
        { scroll: `cell ${where}` },
      ),
  ];
}
