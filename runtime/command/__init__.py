"""`diffkiln-sample`: its flags, its tasks, and the files that it writes."""
