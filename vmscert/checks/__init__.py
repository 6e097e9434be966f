"""What is wrong at a site, now or on a day: findings about computers, links, files and ends.

It is pure: a site, what computers hold, and a time go in. It carries out nothing.
Open `acceptance` first: it answers whether a client accepts a server. `site` puts all findings
together, `lacks` says what is missing and which finding stops a runbook.
"""
