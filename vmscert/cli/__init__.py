"""The command `vmscert`.

It computes nothing: arguments go to the folders below, answers are printed. Exit code 0 means that
all was judged and nothing is wrong.
`main` has the commands, `printing` what they print.
"""
