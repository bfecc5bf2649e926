"""REST: requests to operations, answers to responses. Nothing is decided here."""
