"""One machine, one port: a process, or a parent with several."""
