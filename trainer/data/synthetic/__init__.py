"""Painted flowers, for a first run without a data set."""
