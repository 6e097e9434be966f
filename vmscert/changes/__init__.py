"""One change from plan to signed record: approve, carry out, prove, sign; rehearsal and drill.

It knows no single runbook. What happened is in the ledger of `records`, and nowhere else.
`job` is one run on one site; `change` is what was approved, `errands` what people carry.
"""
