"""The heart: every interface makes operations, and one pipeline runs them."""
