// Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
// Translates sentences in Node, without Python: node translate.mjs [OPTIONS] FOLDER SENTENCE...
// FOLDER is that of a model with its graph, as "hf-attn-seq2seq export FOLDER --to graph" leaves it.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Tokenizer } from "@huggingface/tokenizers";
import ort from "onnxruntime-node";

const usage =
  "usage: node translate.mjs [--num-beams N] [--length-penalty X] [--max-length N] [--attention] FOLDER SENTENCE...";
const refuse = (sentence) => {
  console.error(sentence);
  process.exit(2);
};

// The command line. A value that is wrong is told before anything is loaded.
const options = {
  "num-beams": { type: "string" },
  "length-penalty": { type: "string" },
  "max-length": { type: "string" },
  attention: { type: "boolean", default: false },
};
let given;
try {
  given = parseArgs({ options, allowPositionals: true });
} catch (error) {
  refuse(`${error.message.replaceAll("\n", " ")}\n${usage}`);
}
const [folder, ...sentences] = given.positionals;
if (sentences.length === 0) refuse(usage);
const number = (name, isRight, wanted) => {
  const text = given.values[name];
  if (text === undefined) return undefined;
  if (text.trim() === "" || !isRight(Number(text))) refuse(`--${name} is '${text.slice(0, 200)}': give ${wanted}.`);
  return Number(text);
};
const between = (least, most) => [
  (value) => Number.isInteger(value) && value >= least && value <= most,
  `a whole number from ${least} to ${most}`,
];
const numBeams = number("num-beams", ...between(1, 1000));
const lengthPenalty = number("length-penalty", Number.isFinite, "a number");
const maxLength = number("max-length", ...between(2, 100000)); // tokens with the start token, as of generate()

// The model.
const needed = ["graph.onnx", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];
const missing = needed.find((name) => !existsSync(join(folder, name)));
if (missing) refuse(`'${folder}' has no ${missing}: give the folder of a model after "export FOLDER --to graph".`);
const read = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));
const tokenizer = (name) => new Tokenizer(read(name), read("tokenizer_config.json"));
const source = tokenizer("tokenizer.json");
const separate = "target_tokenizer.json"; // only of models with two vocabularies
const target = existsSync(join(folder, separate)) ? tokenizer(separate) : source;
// The graph finds the weights in the files beside it. Level 4: errors are told by what is thrown.
const session = await ort.InferenceSession.create(join(folder, "graph.onnx"), { logSeverityLevel: 4 }).catch((error) =>
  refuse(`The graph of '${folder}' cannot be loaded (${error.message}): export it again.`),
);

// One batch of all sentences: a mask says which ids are tokens (1) and which only fill up a row (0).
const rows = sentences.map((sentence) => source.encode(sentence).ids);
const width = Math.max(...rows.map((row) => row.length));
const integers = (values, shape) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
const batch = (value) =>
  integers(
    rows.flatMap((row) => Array.from({ length: width }, (_, at) => value(row, at))),
    [rows.length, width],
  );
const config = read("config.json");
const padding = config.pad_token_id ?? 0;

// The search: what the command line does not say is that of the model, and what that does not say is as usual.
const saved = read("generation_config.json");
const places = Math.min(256, config.position_type === "learned" ? (config.max_position_embeddings ?? 256) : 256);
const longest = saved.max_new_tokens ?? (saved.max_length ?? places + 1) - 1;
const inputs = {
  input_ids: batch((row, at) => row[at] ?? padding),
  attention_mask: batch((row, at) => (at < row.length ? 1 : 0)),
  num_beams: integers([numBeams ?? saved.num_beams ?? 1], []),
  num_return_sequences: integers([1], []),
  max_new_tokens: integers([maxLength ? maxLength - 1 : longest], []),
  min_new_tokens: integers([Math.max(saved.min_new_tokens ?? 0, (saved.min_length ?? 0) - 1, 0)], []),
  early_stopping: integers([[false, true, "never"].indexOf(saved.early_stopping ?? false)], []),
  length_penalty: new ort.Tensor("float32", Float32Array.of(lengthPenalty ?? saved.length_penalty ?? 1), []),
};

// All of it happens in this call, greedily or with beams.
const { attention } = given.values;
if (attention && !session.outputNames.includes("attentions")) refuse(`The model of '${folder}' has no attention.`);
const outputs = ["sequences", ...(attention ? ["attentions", "lengths"] : [])];
const { sequences, attentions, lengths } = await session.run(inputs, outputs).catch((error) =>
  refuse(`The graph of '${folder}' cannot translate that (${error.message}): give shorter sentences or fewer beams.`),
);
// The source token with the most weight in the row of each chosen token: the layer, heads and shift are those that
// alignment.json names. A row of zeros, of what the shift moves beyond the end, has none.
const written = (vocabulary, id) => vocabulary.decode([id], { skip_special_tokens: false }).trim();
const lookedAt = (sentence, chosen) => {
  const [, heads, steps, length] = attentions.dims;
  return Array.from({ length: Number(lengths.data[sentence]) }, (_, step) => {
    const weights = rows[sentence].map((_, place) =>
      Array.from({ length: heads }, (_, head) => ((sentence * heads + head) * steps + step) * length + place)
        .map((at) => attentions.data[at])
        .reduce((sum, weight) => sum + weight),
    );
    const most = Math.max(...weights);
    const read = most ? written(source, rows[sentence][weights.indexOf(most)]) : "";
    return `${written(target, chosen[step])}<${read}`;
  }).join(" ");
};
const length = sequences.dims[1];
sentences.forEach((_, sentence) => {
  const ids = Array.from(sequences.data.slice(sentence * length, (sentence + 1) * length), Number);
  const translation = target.decode(ids, { skip_special_tokens: true });
  console.log(attention ? `${translation} ||| ${lookedAt(sentence, ids.slice(1))}` : translation);
});
