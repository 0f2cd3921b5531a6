"""Writes images as PNG, GIF or .npz, whole or not at all, and folders of PNGs."""
