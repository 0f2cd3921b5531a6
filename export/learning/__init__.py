"""Learns tables: samplers of a few steps that draw what many steps of a solver would draw."""
