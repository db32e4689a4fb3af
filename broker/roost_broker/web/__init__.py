"""The web listener: WebSocket, the pages, and what of the admin API is open there, on one port."""
