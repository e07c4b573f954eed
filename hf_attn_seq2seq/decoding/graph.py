FORMAT = "hf_attn_seq2seq graph"
VERSION = 1
GRAPH_FILE = "graph.onnx"
