#!/usr/bin/env bash
# An input of an ONNX graph may have an initializer of the same name: its default, which a caller can override.
# onnxruntime 1.32.0 in Python does; onnxruntime-node 1.30.0 drops the value that it is given and uses the default,
# without an error or a warning (onnxruntime-web 1.30.0 raises an error). So a search that takes its number of beams as
# such an input ignores what a JavaScript program asks for.
#
# Seen (the graph adds "offset", by default 1, to "number"; given: number 10, offset 5):
#   Python: 15
#   Node: 11
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet onnx==1.23.2 onnxruntime==1.32.0
npm install --silent --ignore-scripts --no-audit --no-fund onnxruntime-node@1.30.0 > /dev/null
cat > check.py <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in ("number", "offset", "sum")]
graph = helper.make_graph(
    [helper.make_node("Add", ["number", "offset"], ["sum"])],
    "add",
    values[:2],
    values[2:],
    [numpy_helper.from_array(np.array(1, np.float32), "offset")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
with open("add.onnx", "wb") as stream:
    stream.write(model.SerializeToString())
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession("add.onnx", options, providers=["CPUExecutionProvider"])
feed = {"number": np.array(10, np.float32), "offset": np.array(5, np.float32)}
print(f"Python: {session.run(None, feed)[0]:.0f}")
PYTHON
cat > check.mjs <<'NODE'
import * as ort from "onnxruntime-node";

const session = await ort.InferenceSession.create("add.onnx", { logSeverityLevel: 3 });
const scalar = (value) => new ort.Tensor("float32", Float32Array.of(value), []);
const { sum } = await session.run({ number: scalar(10), offset: scalar(5) });
console.log(`Node: ${sum.data[0]}`);
NODE
seen=$(venv/bin/python check.py; node check.mjs)
echo "$seen"
test "$seen" = $'Python: 15\nNode: 11' || { echo "the behaviour has changed" >&2; exit 1; }
