"""The HTTP API under /api/v1/. Thin: it parses, calls one service, and answers in one shape."""
