import { h, visible, whole } from "../dom.js";
import { section, table } from "../marks.js";

const deep = (depth) => depth === "numbers" || depth === "vectors";

/** Tokens: the text, its words, the pieces that stand for them. */
export function tokens(app, view) {
  const { run } = view;
  return [
    part(app, view, "source", "The source, as the model reads it"),
    part(app, view, "target", "The translation, as the model wrote it"),
  ];

  function part(app, view, name, title) {
    const side = run[name];
    const chosen = name === "source" ? view.source : view.step;
    const piece = (index) => {
      const token = side.tokens[index];
      return h(
        "button.piece",
        {
          type: "button",
          class: [token.special && "special", name === "source" && index === chosen && "current"].filter(Boolean).join(" "),
          "data-key": `${view.side} piece ${name} ${index}`,
          onclick: () => app.set(name === "source" ? { source: index + 1 } : { step: index + 1 }),
        },
        h("span.hidden", {}, `${name === "source" ? "token" : "step"} ${index + 1}: `),
        h("bdi.piece-text", {}, run.piece(token.token, name)),
        h("span.hidden", {}, ", number "),
        h("span.piece-id", {}, token.id),
        token.special && h("span.hidden", {}, ", a marker added by the tokenizer"),
      );
    };
    const words = side.words_.map((group) =>
      h(
        "div.word-block",
        { class: group.special ? "special" : "" },
        h("bdi.word-text", {}, group.special || group.word === null ? (group.special ? "added" : group.label) : visible(side.words[group.word].text)),
        h("div.brace", { "aria-hidden": "true" }),
        h("div.pieces", {}, group.members.map(piece)),
      ));
    const signs = side.tokens.filter(({ special }) => special).length;
    const spaces = side.tokens.some(({ token, label }) => `${run.piece(token, name)}${label}`.includes("␣"));
    const note = `${count(side.tokens.length, "token")} for ${count(side.words.length, "word")}${signs ? `, ${signs} of them added by the tokenizer` : ""}. Under each piece is its number in the vocabulary.${spaces ? " ␣ is a space." : ""}`;
    return section(
      title,
      note,
      h("div.word-blocks", { dir: side.direction }, words),
      deep(view.depth) &&
        table(
          `Tokens of the ${name}`,
          ["position", "piece", "name in the vocabulary", "number", "characters of the text", "word"],
          side.tokens.map((token, index) => [
            index + 1,
            h("bdi", {}, run.piece(token.token, name)),
            h("bdi", {}, visible(token.token)),
            token.id,
            token.span ? `${token.span[0]} to ${token.span[1]}` : "none",
            token.word === null ? "none" : h("bdi", {}, visible(side.words[token.word].text)),
          ]),
          { marked: name === "source" ? chosen : -1, text: true },
        ),
    );
  }
}

const count = (many, one) => `${whole(many)} ${one}${many === 1 ? "" : "s"}`;
