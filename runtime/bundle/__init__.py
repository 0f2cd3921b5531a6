"""Opens a bundle: its manifest, its files and their seals."""
