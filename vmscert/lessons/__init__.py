"""What only lessons call: RSA by hand, a handshake captured, the bytes of a certificate, quizzes.

Nothing here protects anything; no other folder imports it, and nobody the `textbook`.
`exercises` has what every lesson uses, `recording` the handshake.
"""
