// Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
// Translates sentences in Node, without Python: node translate.mjs FOLDER SENTENCE...
// FOLDER is that of a model with its graph, as "hf-attn-seq2seq export FOLDER --to graph" leaves it.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import ort from "onnxruntime-node";

const [folder, ...sentences] = process.argv.slice(2);
if (sentences.length === 0) {
  console.error("usage: node translate.mjs FOLDER SENTENCE...");
  process.exit(2);
}
const read = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));
const tokenizer = (name) => new Tokenizer(read(name), read("tokenizer_config.json"));
const source = tokenizer("tokenizer.json");
const separate = "target_tokenizer.json"; // only of models with two vocabularies
const target = existsSync(join(folder, separate)) ? tokenizer(separate) : source;

// The graph finds the weights in the files beside it. Level 3: tell errors only.
const session = await ort.InferenceSession.create(join(folder, "graph.onnx"), { logSeverityLevel: 3 });

// One batch of all sentences: a mask says which ids are tokens (1) and which only fill up a row (0).
const rows = sentences.map((sentence) => source.encode(sentence).ids);
const width = Math.max(...rows.map((row) => row.length));
const batch = (value) => {
  const numbers = rows.flatMap((row) => Array.from({ length: width }, (_, at) => BigInt(value(row, at))));
  return new ort.Tensor("int64", BigInt64Array.from(numbers), [rows.length, width]);
};
const padding = read("config.json").pad_token_id ?? 0;
const inputs = {
  input_ids: batch((row, at) => row[at] ?? padding),
  attention_mask: batch((row, at) => (at < row.length ? 1 : 0)),
};

// The whole search happens in this call, greedily or with beams, as generation_config.json says.
const { sequences } = await session.run(inputs, ["sequences"]);
const length = sequences.dims[1];
for (let start = 0; start < sequences.data.length; start += length) {
  const ids = Array.from(sequences.data.slice(start, start + length), Number);
  console.log(target.decode(ids, { skip_special_tokens: true }));
}
