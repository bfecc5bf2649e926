"""Watching: what the change log tells each subscriber, as far as that subscriber may know."""
