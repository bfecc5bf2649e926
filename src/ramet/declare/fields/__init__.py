"""One file a field type: what its values are, how JSON and query text become values, and its JSON Schema."""
