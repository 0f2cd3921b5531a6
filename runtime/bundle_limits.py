"""How large the parts of a bundle may be, so that none of them fills memory or lasts for ever."""

# Of bundle.json: a hundred times what the exporter writes.
MAX_MANIFEST_BYTES = 2**20
MAX_DIGITS = 20

# Of an ONNX file: 268 million weights in float32. Protobuf itself ends at twice that.
MAX_GRAPH_BYTES = 2**30
# 200 steps of a network of 500 nodes, written out.
MAX_NODES = 100_000
# Of fields in an ONNX file, which are what takes the time to read it.
MAX_FIELDS = 1_000_000
MAX_NAME_LENGTH = 512
MAX_RANK = 8
# Of a tensor that a graph makes of its constants alone: 256 MB of int64.
MAX_CONSTANT_ELEMENTS = 2**25
# How much larger than before Resize may make a tensor.
MAX_ENLARGEMENT = 1024
# Loops may take so many more steps than they are asked for.
MAX_EXTRA_STEPS = 64
