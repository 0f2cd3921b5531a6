"""Writes images as PNG, GIF, .npz or a folder, whole or not at all."""
