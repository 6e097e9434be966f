"""The command `vmscert`.

It computes nothing: arguments go to the folders below, answers are printed. Exit code 0 means that
all was judged and nothing is wrong.
Open `main` first: it lists the commands. `change`, `trouble` and `due` hold them; `printing` has
what several of them take, and what people see.
"""
