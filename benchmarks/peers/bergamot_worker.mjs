// Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
/*
Translates by the engine of Marian's models in WebAssembly: an order a line in, an answer a line out, as JSON, like
marian_worker.py.

    node benchmarks/peers/bergamot_worker.mjs FOLDER

The folder has node_modules/@browsermt/bergamot-translator. Texts are not split into sentences.
*/

import {readFile} from 'node:fs/promises';
import {createInterface} from 'node:readline';
import {join} from 'node:path';
import {pathToFileURL} from 'node:url';

const root = join(process.argv[2], 'node_modules', '@browsermt', 'bergamot-translator', 'translator.js');
const {TranslatorBacking} = await import(pathToFileURL(root));

class Files extends TranslatorBacking {
    async loadModelRegistery() {
        return [];
    }
}

// What the engine prints of itself is no answer.
const say = text => process.stdout.write(`${text}\n`);
console.log = console.error;

const buffer = async path => {
    const bytes = await readFile(path);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
};

const files = new Files({cacheSize: 0});
files.onerror = ({data: error}) => {
    say(JSON.stringify({error: String(error.message ?? error)}));
    process.exit(1);
};
const {exports: engine} = await files.loadWorker();

let serial = 0;
for await (const line of createInterface({input: process.stdin})) {
    const order = JSON.parse(line);
    const pair = {from: 'source', to: `target${++serial}`};
    try {
        const vocabs = await Promise.all([...new Set(order.vocabs)].map(buffer));
        const config = {'ssplit-mode': 'wrapped_text', 'beam-size': '1', 'gemm-precision': 'int8shiftAlphaAll'};
        const model = {model: await buffer(order.model), shortlist: new ArrayBuffer(0), vocabs, config};
        await engine.loadTranslationModel(pair, model);
        const texts = [];
        for (const text of order.sentences) {
            const [answer] = await engine.translate({models: [pair], texts: [{text, html: false, qualityScores: false}]});
            texts.push(answer.target.text);
        }
        await engine.freeTranslationModel(pair);
        say(JSON.stringify({texts}));
    } catch (error) {
        say(JSON.stringify({error: String(error.message ?? error)}));
    }
}
process.exit(0);
