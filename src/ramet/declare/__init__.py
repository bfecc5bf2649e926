"""What a team writes: resources, fields, relations, rules, hooks and actions. Pure declarations, no I/O."""
