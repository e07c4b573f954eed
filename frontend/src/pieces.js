// Names of tokens as text: tokenizers write a space as ▁ or Ġ, and letters beyond ASCII byte by byte.

/** The bytes that byte-level tokenizers write as other characters than themselves, in order from U+0100. */
const BYTES = new Map();
for (let byte = 0, next = 256; byte < 256; byte++) {
  const itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  BYTES.set(String.fromCodePoint(itself ? byte : next++), byte);
}

/** Whether a text's tokens are named byte by byte: a space is named Ġ. */
export const isByteLevel = (tokens) => tokens.some(({ token, text }) => token.includes("Ġ") && !text.includes("Ġ"));

/** The bytes that the name of a byte-level token stands for, or null. */
export function tokenBytes(token) {
  const bytes = [...token].map((character) => BYTES.get(character));
  return bytes.includes(undefined) ? null : Uint8Array.from(bytes);
}

/** What a token stands for in the text, spaces included. */
export function pieceText(token, byteLevel) {
  if (/^[▁Ġ]+$/.test(token)) return " ".repeat(token.length);
  if (!byteLevel) return token.replaceAll("▁", " ");
  const bytes = tokenBytes(token);
  return bytes ? new TextDecoder().decode(bytes) : token;
}
