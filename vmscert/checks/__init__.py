"""What is wrong at a site, now or on a day: findings about computers, links, files and ends.

It is pure: a site, what computers hold, and a time go in. It carries out nothing.
`acceptance` answers whether a client accepts a server; `site` puts all findings together, `gates`
say which of them stops a runbook.
"""
