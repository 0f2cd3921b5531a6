"""One training step, the loop around it, and the state to resume from."""
