"""Finished answers kept close, emptied by the change log."""
