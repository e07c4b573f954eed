// Elements and numbers as text. Text is only ever set as text: a token can hold anything.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an element: `h("button.round", { onclick }, "text", child)`.
 * @param {string} name tag and classes, joined by dots
 * @param {Record<string, any>} [props] listeners (`onclick`), `style` (an object), everything else an attribute
 * @param {...any} children nodes, strings, numbers, lists of them; null and false are left out
 * @returns {any}
 */
export function h(name, props = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  return fill(document.createElement(tag), classes, props, children);
}

/** The same for SVG. @returns {any} */
export function s(name, props = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  return fill(document.createElementNS(SVG, tag), classes, props, children);
}

function fill(element, classes, props, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(props)) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.setAttribute("class", `${element.getAttribute("class") ?? ""} ${value}`.trim());
    else if (key === "style") for (const [name, setting] of Object.entries(value)) element.style.setProperty(name, setting);
    else if (key === "value" || key === "checked" || key === "open") element[key] = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false).map(asNode));
  return element;
}

const asNode = (child) => (child instanceof Node ? child : document.createTextNode(String(child)));

const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** A number as it is read: a true minus sign, powers of ten for what is very small or large. */
export function number(value, digits = 4) {
  if (value === null || value === -Infinity) return "−∞";
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size < 0.5 * 10 ** -digits || size >= 1e7) return scientific(value);
  return value.toFixed(size >= 1000 ? 1 : digits).replace("-", "−");
}

/** 1,636,096 */
export const whole = (value) => value.toLocaleString("en");

/** 2.4 × 10⁻⁷ */
export function scientific(value) {
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(1).split("e");
  const raised = [...exponent.replace("+", "")].map((digit) => SUPERSCRIPTS[digit]).join("");
  return `${mantissa.replace("-", "−")} × 10${raised}`;
}

/** All the digits that a float32 has. */
export const exact = (value) => (value === null ? "−∞" : String(Number(value.toPrecision(9))).replace("-", "−"));

/** With four digits behind the point, however small: to be added up on sight. */
export const rounded = (value) => Number(value.toFixed(4));
export const fixed = (value) => (rounded(value) || 0).toFixed(4).replace("-", "−");

/** 0.734 as 73 %; what is not zero never reads as zero. */
export function percent(share) {
  const hundredths = share * 100;
  if (hundredths > 0 && hundredths < 0.1) return "< 0.1 %";
  if (hundredths >= 99.95 && hundredths < 100) return "> 99.9 %";
  const plain = hundredths === 0 || hundredths === 100 || (hundredths >= 10 && hundredths < 99);
  return `${plain ? Math.round(hundredths) : hundredths.toFixed(1)} %`;
}

/** A weight in a small cell: .73, 1.0 */
export function cellNumber(weight) {
  const text = weight.toFixed(2);
  return text === "1.00" ? "1.0" : text === "0.00" ? (weight > 0 ? "·" : "0") : text.replace(/^0/, "");
}

const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A token so that it can be seen: spaces and control characters are shown by signs, joiners of spelling are kept. */
export function visible(text) {
  if (text === "") return "∅";
  const shown = text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(HIDDEN, (sign) =>
    sign === "\u200c" || sign === "\u200d" ? sign : `\\u${sign.codePointAt(0).toString(16).padStart(4, "0")}`);
  return shown.trim() === "" ? "␣".repeat(shown.length) : shown;
}
