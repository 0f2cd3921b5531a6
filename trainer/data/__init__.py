"""Which images a step gets, and where they are read from."""
