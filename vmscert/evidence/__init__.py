"""What a site's folder proves, or the backup of one: its records, and that the site can live on.

It only looks, and changes nothing but what it notes of a drill.
`proof` holds the signed records against ledger and files; `drill` tries a backup on a copy.
"""
