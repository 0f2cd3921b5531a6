"""Where graphs run (CPU, CUDA or OpenVINO), and what this process may use of the machine."""
