"""Where graphs run: CPU, CUDA or OpenVINO, and what of it this process may use."""
