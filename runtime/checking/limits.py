"""How large the parts of a bundle may be, so that none fills memory or takes for ever to check."""

# Of the manifest: a hundred times what the exporter writes.
MAX_MANIFEST_BYTES = 2**20
MAX_DIGITS = 20

# Of a .zip: of the list of its files, which is about 10,000 of them, and how many times as large a
# file may become. Weights do not become smaller in a .zip, and deflate reaches a thousand.
MAX_ZIP_DIRECTORY_BYTES = 2**20
MAX_EXPANSION = 100

# Of an ONNX file: 268 million weights in float32. Protobuf itself ends at twice that.
MAX_GRAPH_BYTES = 2**30
# A file of more bytes is read twice, the first time only to see that it is whole.
MAX_HELD_BYTES = 2**26
# 100 steps of a network of 400 nodes, written out.
MAX_NODES = 40_000
# Of fields in an ONNX file: reading them takes the time.
MAX_FIELDS = 500_000
# Of a text in it: as long as a whole manifest.
MAX_TEXT_BYTES = MAX_MANIFEST_BYTES
MAX_NAME_LENGTH = 512
MAX_RANK = 8
# Of the outputs of a node: a Split has the most.
MAX_OUTPUTS = 256
# What follows from constants alone is computed when the graph is loaded. It may take so many bytes
# and four times the file, which is enough to transpose and fold weights.
MAX_CONSTANT_BYTES = 2**25
# Of the tensors that exist at the same time for one image: so many bytes, and so many more for each
# number of an image, which is eight times what attention over 32×32 places needs.
MAX_LIVE_BYTES, LIVE_BYTES_PER_NUMBER = 3 * 2**26, 2**13
# Of multiply-adds for one image and step, likewise. ADM, the largest network known to draw 64×64
# pixels (arXiv 2105.05233), has 1e11.
MAX_WORK, WORK_PER_NUMBER = 2**32, 2**24
# What a Loop gathers is counted as if the Loop took so many steps.
STEPS_COUNTED = 1000
# Loops may take so many more steps than they are asked for.
MAX_EXTRA_STEPS = 64
# The second stage of a cascade may always take so many.
MAX_UPSCALING_STEPS = 1000
