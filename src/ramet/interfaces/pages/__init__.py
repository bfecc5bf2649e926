"""Addresses that are no operations: health, metrics, the reference and the first page."""
