"""The float64 sampler, and the certificate that compares every graph with it."""
