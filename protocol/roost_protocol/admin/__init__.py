"""The admin API: HTTP/1.1 with JSON, under `/v1`. Typed first: a module for each noun has its messages and its routes.

`table.ROUTES` is all of it. The broker answers by that table, the command line asks by it, and the OpenAPI document is
made from it. What is sent to a broker is a `Asked` and may hold nothing that is not known; what a broker says is a
`Told`, to which later versions may add. An error is a problem document (RFC 9457).
"""
