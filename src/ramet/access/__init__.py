"""May they: rules to SQL, rules to Python, masking."""
