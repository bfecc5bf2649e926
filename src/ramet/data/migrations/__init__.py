"""Bringing a database from the schema it has to the one that is declared."""
