"""What a Windows computer holds, and what is carried to it: folders, scripts, pages.

It never changes a computer: it reads what a script reported and writes what a person runs there.
`stores` has the noun; `inventory` reads it, `folder` packs what is carried, `simulated` follows it.
"""
