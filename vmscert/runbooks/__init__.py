"""What each runbook needs, plans, does and proves.

It shows nothing: rows and checks come out, and the notebook side draws them.
`stages` opens a runbook and says what each must have achieved; the others are their deeds.
"""
