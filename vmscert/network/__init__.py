"""One server or thousands, looked at over TLS: what they show, and what a client makes of it.

It knows no site's records. Only `calls` and `servers` open sockets, and only to servers that
somebody named.
`looks` has the one noun, a Look; `calls` its steps, `tls` the handshake below them.
"""
