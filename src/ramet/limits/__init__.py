"""Rate limits and overload: how much one caller may ask, and how much the process takes on at once."""
