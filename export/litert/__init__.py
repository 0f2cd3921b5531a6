"""LiteRT files: the functions of a bundle with built-in operators, for phones and small boards."""
