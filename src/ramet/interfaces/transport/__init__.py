"""Requests and answers, whatever server carries them."""
