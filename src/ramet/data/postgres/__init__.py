"""The engine of many instances: PostgreSQL through asyncpg."""
