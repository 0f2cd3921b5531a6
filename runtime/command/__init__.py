"""`diffkiln-sample`: its flags, its tasks, and the files that they fill."""
