"""The same sampling in diffusers, LiteRT, OpenVINO and TensorFlow, for `--compare`."""
