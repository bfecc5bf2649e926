"""The whole topology of instances on one machine, for development and tests."""
