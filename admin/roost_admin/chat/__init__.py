"""`roost chat`: a chat in a terminal, on the client library."""
