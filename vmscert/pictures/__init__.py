"""SVG text: the map of a site, time, paths, bytes, the ladder of a handshake.

It decides nothing and imports no notebook: values go in, a Picture comes out.
`canvas` is the sheet that all others draw on.
"""
