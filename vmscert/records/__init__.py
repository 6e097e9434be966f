"""The folder of one site: written under a lock, read once.

It judges nothing and asks nobody. Every certificate is in the ledger before it is in a file.
`folder` writes, `state` is all that it says at one moment, `ledger` is the story and its proof.
"""
