"""`diffkiln-bench`: what a bundle costs on this machine."""
