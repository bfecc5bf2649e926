"""How requests reach operations, and answers their senders: each interface translates, none decides."""
