import { cellNumber, h, percent } from "../dom.js";
import { argmax, windowAround } from "../math.js";

const [MOST_ROWS, MOST_COLUMNS] = [48, 64]; // more cells than these cannot be told apart, and slow the page down

/**
 * A table of weights, each cell a button. Weights show as a shade, as the size of a square, and, where there is room, as
 * a number: never as colour alone.
 * @param {{rows: string[], columns: string[], matrix: ArrayLike<number>[], row: number, column: number, name: string,
 *   key: string, choose: (row: number, column: number) => void, directions?: string[], numbers?: boolean}} options
 *   `numbers` asks for them however many columns there are
 */
export function heatmap({ rows, columns, matrix, row, column, name, key, choose, directions = [], numbers = false }) {
  // From this weight on, the other ink reads better on the shade (4.5 to 1 on either side).
  const turn = matchMedia("(prefers-color-scheme: dark)").matches ? 0.575 : 0.615;
  const many = columns.length > 30;
  const size = columns.length <= 12 ? "open" : numbers ? "narrow" : many ? "dense" : "close";
  const told = size === "open" || size === "narrow"; // as numbers
  const [top, bottom] = windowAround(row, rows.length, MOST_ROWS);
  const [left, right] = windowAround(Math.max(column, 0), columns.length, MOST_COLUMNS);
  const cell = (weight, t, j, best) => {
    const looks = [t === row && "in-row", j === column && "in-column", j === best && weight > 0 && "best"].filter(Boolean).join(" ");
    const place = {
      "data-at": `${t} ${j}`,
      "data-weight": weight,
      "aria-label": `${rows[t]} looks at ${columns[j]}: ${name} ${told ? cellNumber(weight) : percent(weight)}`,
      style: { "--weight": weight.toFixed(4), "--side": Math.sqrt(weight).toFixed(4) },
    };
    // Of thousands of cells, only those of the current row are buttons: arrow keys bring any row there.
    const shade = weight >= turn ? "dark" : "";
    if (many && t !== row) return h("td.cell", { ...place, class: told ? `${looks} ${shade}` : looks }, told ? cellNumber(weight) : null);
    return h(
      "td",
      { class: looks },
      h(
        "button.cell",
        {
          ...place,
          type: "button",
          tabindex: t === row && j === Math.max(column, 0) ? 0 : -1,
          "aria-pressed": String(t === row && j === column),
          "data-key": `${key} ${t} ${j}`,
          class: shade,
        },
        told ? cellNumber(weight) : null,
      ),
    );
  };
  const parted = bottom - top < rows.length || right - left < columns.length;
  return h(
    "div.heat-box",
    { "data-scroll": `heat ${key}` },
    parted && h("p.note", {}, `Shown: rows ${top + 1} to ${bottom} of ${rows.length}, columns ${left + 1} to ${right} of ${columns.length}, around the chosen cell.`),
    !told && !parted && h("p.note", {}, "The larger a square, the larger the weight; a full cell is 1."),
    h(
      "table.heat",
      { class: size, onkeydown: roam, onclick: (event) => at(event, choose), dir: directions[0] ?? "ltr" },
      h("caption.hidden", {}, `${name}s, a row for each of ${rows.length}, a column for each of ${columns.length}`),
      h("thead", {}, h("tr", {}, h("td"), columns.slice(left, right).map((label, index) =>
        h("th", { scope: "col", class: left + index === column ? "current" : "" }, h("bdi", {}, label))))),
      h("tbody", {}, matrix.slice(top, bottom).map((weights, index) => {
        const t = top + index;
        const best = argmax(weights);
        return h(
          "tr",
          { class: t === row ? "current" : "" },
          h("th", { scope: "row" }, h("bdi", {}, rows[t])),
          Array.from(weights.slice(left, right), (weight, index) => cell(weight, t, left + index, best)),
        );
      })),
    ),
  );

  /** Arrow keys move from cell to cell. */
  function roam(event) {
    const ahead = event.currentTarget.dir === "rtl" ? -1 : 1;
    const moves = { ArrowRight: [0, ahead], ArrowLeft: [0, -ahead], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation();
    const [down, across] = moves[event.key];
    at(event, (t, j) => {
      const [to, over] = [t + down, j + across];
      if (to < 0 || over < 0 || to >= rows.length || over >= columns.length) return;
      choose(to, over);
      document.querySelector(`[data-key="${CSS.escape(`${key} ${to} ${over}`)}"]`)?.focus();
    });
  }
}

/** Calls `go` with the row and the column of the cell that an event is about. */
function at(event, go) {
  const here = event.target.closest("[data-at]");
  if (here) go(...here.dataset.at.split(" ").map(Number));
}

/** A small map without numbers, to choose among many. */
export function miniature(matrix, label, chosen, choose, key) {
  const canvas = h("canvas", { width: matrix[0].length, height: matrix.length, "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--score").trim();
  pen.fillStyle = ink;
  matrix.forEach((row, t) =>
    row.forEach((weight, j) => {
      pen.globalAlpha = Math.min(1, weight);
      pen.fillRect(j, t, 1, 1);
    }));
  return h(
    "button.miniature",
    { type: "button", "aria-pressed": String(chosen), "aria-label": label, "data-key": key, onclick: choose },
    canvas,
    h("span", {}, label),
  );
}
