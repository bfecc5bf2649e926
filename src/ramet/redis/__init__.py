"""Redis, where instances share what makes them faster and nothing that must not be lost."""
