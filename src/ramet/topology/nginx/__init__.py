"""nginx in front of instances: what it is told, and its configuration."""
