// What happens inside a recurrent cell, for one token.
import { h, number } from "../dom.js";
import { argmax, cellKind, cellStep, difference, largest } from "../math.js";
import { checkAll, table, vectorRow } from "../marks.js";

const GATES = {
  gru: ["reset", "update", "candidate"],
  lstm: ["input", "forget", "candidate", "output"],
  ssru: ["forget", "candidate"],
  min_gru: ["update", "candidate"],
};
const EQUATIONS = {
  gru: "h′ = (1 − z) n + z h",
  lstm: "c′ = f c + i n, h′ = o tanh(c′)",
  ssru: "c′ = f c + (1 − f) n, h′ = max(0, c′)",
  min_gru: "h′ = (1 − z) h + z n",
};
const SAYS = {
  reset: "reset gate r: how much of the memory the candidate sees",
  update: "update gate z: how much of the memory is kept",
  candidate: "candidate n: what could be remembered instead",
  input: "input gate i: how much of the candidate enters",
  forget: "forget gate f: how much of the cell is kept",
  output: "output gate o: how much of the cell is shown",
};
/** Where a gate of one kind says something else. */
const OTHERWISE = { min_gru: { update: "update gate z: how much of the candidate enters" } };

/**
 * @param {(name: string) => ArrayLike<number>|null} gate numbers of one gate at this step
 * @param {{hidden: ArrayLike<number>, cell?: ArrayLike<number>}} before
 * @param {{hidden: ArrayLike<number>, cell?: ArrayLike<number>}} after
 */
export function cellView(view, gate, before, after, where, skip = []) {
  const kind = cellKind(gate);
  const names = GATES[kind];
  const cell = kind === "lstm" || kind === "ssru";
  const gates = Object.fromEntries(names.map((name) => [name, gate(name)]));
  if (names.some((name) => !gates[name])) return [];
  const made = cellStep(kind, gates, before);
  const change = Float64Array.from(after.hidden, (value, i) => Math.abs(value - before.hidden[i]));
  const i = argmax(change);
  const off = Math.max(difference(made.hidden, after.hidden), cell ? difference(made.cell, after.cell) : 0);
  const { depth } = view;
  const row = (label, values, role = "ink") =>
    vectorRow([label.split(": ")[0], label.includes(": ") && h("span.row-note", {}, label.split(": ")[1])], values, { role, name: `${label} ${where}`, max: label.includes("gate") ? 1 : undefined }, depth);
  const n = (values) => number(values[i], 4);
  const terms = {
    gru: () => [`h′ = (1 − ${n(gates.update)}) × ${n(gates.candidate)} + ${n(gates.update)} × ${n(before.hidden)} = ${n(made.hidden)}`],
    lstm: () => [`c′ = ${n(gates.forget)} × ${n(before.cell)} + ${n(gates.input)} × ${n(gates.candidate)} = ${n(made.cell)}`,
      `h′ = ${n(gates.output)} × tanh(${n(made.cell)}) = ${n(made.hidden)}`],
    ssru: () => [`c′ = ${n(gates.forget)} × ${n(before.cell)} + (1 − ${n(gates.forget)}) × ${n(gates.candidate)} = ${n(made.cell)}`,
      `h′ = max(0, ${n(made.cell)}) = ${n(made.hidden)}`],
    min_gru: () => [`h′ = (1 − ${n(gates.update)}) × ${n(before.hidden)} + ${n(gates.update)} × ${n(gates.candidate)} = ${n(made.hidden)}`],
  }[kind]();
  return [
    !skip.includes("before") && row("memory before", before.hidden, "query"),
    cell && row("cell before", before.cell),
    names.map((name) => row(OTHERWISE[kind]?.[name] ?? SAYS[name], gates[name])),
    cell && row("cell after", after.cell),
    row("memory after", after.hidden, "query"),
    depth === "numbers" || depth === "vectors"
      ? h("div.worked", {}, h("p.note", {}, `Component ${i + 1}, which changes most, step by step:`), terms.map((term) => h("p.formula", {}, term)))
      : null,
    checkAll(EQUATIONS[kind], off, after.hidden.length * (cell ? 2 : 1), largest(after.hidden)),
    depth === "vectors" &&
      table(
        `Every number of the step ${where}`,
        ["i", "before", ...names, "after"],
        Array.from(after.hidden, (value, i) => [i + 1, number(before.hidden[i], 5), ...names.map((name) => number(gates[name][i], 5)), number(value, 5)]),
        { scroll: `cell ${where}` },
      ),
  ];
}
