// What happens inside a recurrent cell, for one token.
import { h, number } from "../dom.js";
import { worked } from "../expression.js";
import { argmax, cellStep, difference, largest } from "../math.js";
import { checkAll, table, vectorRow } from "../marks.js";
import { gatesByRows } from "./worked.js";

/** An equation as it is shown. */
export const shownEquation = (equation) => equation.replaceAll("'", "′").replaceAll("-", "−");

/** A row of numbers under its title: what it is, and what it is for. */
export const numbersRow = (title, says, values, where, depth, { share = false, role = "ink" } = {}) =>
  vectorRow(
    [title, says && h("span.row-note", {}, says)],
    values,
    { role, name: `${title}${says ? `: ${says}` : ""} ${where}`, max: share ? 1 : undefined },
    depth,
  );

/**
 * @param {any} kind of cell, as the trace carries it
 * @param {[string, number]} at the cell's name in the trace, and the step
 * @param {(name: string) => ArrayLike<number>|null} gate numbers of one gate at this step
 * @param {{hidden: ArrayLike<number>, cell?: ArrayLike<number>}} before
 * @param {{hidden: ArrayLike<number>, cell?: ArrayLike<number>}} after
 */
export function cellView(view, kind, at, gate, before, after, where) {
  const gates = Object.fromEntries(kind.gates.map(({ array }) => [array, gate(array)]));
  if (Object.values(gates).some((values) => !values)) return [];
  const steps = cellStep(kind, gates, before, after);
  const change = Float64Array.from(after.hidden, (value, i) => Math.abs(value - before.hidden[i]));
  const { depth } = view;
  const deep = depth === "numbers" || depth === "vectors";
  const byRows = deep ? gatesByRows(view.run, ...at, kind) : null;
  const i = byRows ? byRows.at : argmax(change);
  const off = Math.max(...steps.map(({ made, recorded }) => difference(made, recorded)));
  const hasCell = steps.some(({ left }) => left === "m'");
  const row = (title, values, role) => numbersRow(title, null, values, where, depth, { role });
  return [
    row("memory before", before.hidden, "query"),
    hasCell && row("cell before", before.cell),
    kind.gates.map(({ array, symbol, title, says, share }) => numbersRow(`${title} ${symbol}`, says, gates[array], where, depth, { share })),
    hasCell && row("cell after", after.cell),
    row("memory after", after.hidden, "query"),
    byRows?.lines,
    deep
      ? h("div.worked", {}, byRows ? h("h4", {}, "and the memory after") : h("p.note", {}, `Number ${i + 1}, which changes most, is worked out:`), steps.map(({ left, formula, values, made }) =>
          h("p.formula", {}, shownEquation(left), h("sub", {}, i + 1), ` = ${worked(formula, (symbol) => number(values.get(symbol)[i], 4))} = ${number(made[i], 4)}`)))
      : null,
    checkAll(kind.update.map(shownEquation).join(", "), off, after.hidden.length * steps.length, largest(after.hidden)),
    depth === "vectors" &&
      table(
        `Every number of the step ${where}`,
        ["i", "before", ...kind.gates.map(({ array }) => array), "after"],
        Array.from(after.hidden, (value, i) => [i + 1, number(before.hidden[i], 5), ...kind.gates.map(({ array }) => number(gates[array][i], 5)), number(value, 5)]),
        { scroll: `cell ${where}` },
      ),
  ];
}
