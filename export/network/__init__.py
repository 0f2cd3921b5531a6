"""Networks as people write them, as the one function that a sampler calls."""
