"""Who is calling: passwords, keys, tokens, cookies, and the hot path that turns a token into a caller."""
