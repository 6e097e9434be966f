"""What each runbook needs, plans, does and proves.

It shows nothing: rows, checks and sentences come out, and the notebook side draws them. `stages`
has what all runbooks share, and opens one by its row of `data/change/runbooks.csv`; its class is in
the file that the row names.
"""
