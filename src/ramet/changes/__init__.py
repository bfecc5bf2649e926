"""The change log, positions in it, and what follows it."""
