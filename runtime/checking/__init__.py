"""Whether an ONNX file is safe to load: its encoding, constants, operators, shapes and cost."""
