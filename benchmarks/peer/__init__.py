"""The peer: a task API in FastAPI, SQLAlchemy (async, aiosqlite), SQLite and PyJWT, as its community writes it."""
