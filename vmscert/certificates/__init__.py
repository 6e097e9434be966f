"""What a certificate is, how one is made, what is wrong with it, and who trusts it.

It knows no site, no Windows and no socket: certificates, keys and names go in, certificates and
findings come out. A time is always an argument.
`diagnosis` judges a chain as a client does; `authority` makes certificates. Both are the heart.
"""
