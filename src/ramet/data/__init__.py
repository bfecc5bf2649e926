"""Query and write plans to SQL, the schema, migrations, and the engines that run statements."""
