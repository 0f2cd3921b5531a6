"""How good the samples are: Kernel Inception Distance and preview grids."""
