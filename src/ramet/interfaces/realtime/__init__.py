"""Changes as they happen: server-sent events at /api/v1/events, and a WebSocket at /api/v1/live."""
