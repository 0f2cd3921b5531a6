"""The same sampling in diffusers, OpenVINO and TensorFlow, for `diffkiln-bench --compare`."""
