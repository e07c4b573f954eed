// What a step of the graph is asked to change.
import * as ort from "onnxruntime-web/wasm";

/**
 * The step's inputs for it, by their names.
 * @param {{layers: number, heads: number}|null} sizes null for a model without attention, which takes none
 * @param {any} whatIf as in a trace; nothing is changed but by the kinds "weights" and "heads"
 * @param {number} step counted from 0
 * @param {number} length of the source
 */
export function changesAt(sizes, whatIf, step, length) {
  if (!sizes) return {};
  const { layers, heads } = sizes;
  const row = new Float32Array(length);
  const rowLayers = new Uint8Array(layers);
  const leftOut = new Uint8Array(layers * heads);
  if (whatIf?.kind === "weights" && whatIf.step === step) {
    row.set(whatIf.weights);
    for (const layer of whatIf.layers) rowLayers[layer] = 1;
  }
  if (whatIf?.kind === "heads") for (const layer of whatIf.layers) for (const head of whatIf.heads) leftOut[layer * heads + head] = 1;
  return {
    row: new ort.Tensor("float32", row, [length]),
    row_layers: new ort.Tensor("bool", rowLayers, [layers]),
    left_out: new ort.Tensor("bool", leftOut, [layers, heads]),
  };
}
