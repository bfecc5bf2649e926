"""The peer: a task API in FastAPI, SQLAlchemy (async), PyJWT and redis-py, as its community writes it."""
