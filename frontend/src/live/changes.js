// What a step of the graph is asked to change.
import * as ort from "onnxruntime-web/wasm";

/**
 * The step's inputs for it, by their names.
 * @param {{layers: number, heads: number}|null} sizes null for a model without attention, which takes none
 * @param {any[]} changes as in a trace; a step is changed by the kinds "weights" and "heads"
 * @param {number} step counted from 0
 * @param {number} length of the source
 */
export function changesAt(sizes, changes, step, length) {
  if (!sizes) return {};
  const { layers, heads } = sizes;
  const weights = new Float32Array(layers * length);
  const changed = new Uint8Array(layers);
  const leftOut = new Uint8Array(layers * heads);
  for (const change of changes) {
    if (change.kind === "weights" && change.step === step) {
      for (const layer of change.layers) {
        weights.set(change.weights, layer * length);
        changed[layer] = 1;
      }
    }
    if (change.kind === "heads") for (const layer of change.layers) for (const head of change.heads) leftOut[layer * heads + head] = 1;
  }
  return {
    new_weights: new ort.Tensor("float32", weights, [layers, length]),
    changed_layers: new ort.Tensor("bool", changed, [layers]),
    left_out: new ort.Tensor("bool", leftOut, [layers, heads]),
  };
}
