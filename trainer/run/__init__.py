"""The run directory: configuration, weights, lineage and metrics."""
