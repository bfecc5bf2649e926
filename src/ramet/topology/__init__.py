"""Where an application runs."""
