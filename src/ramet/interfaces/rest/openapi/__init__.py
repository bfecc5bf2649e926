"""The description of the HTTP API after OpenAPI 3.1, made from the declaration: complete, so that it can be tested."""
