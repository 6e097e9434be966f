"""Sites and servers that are broken on purpose, to find out what is wrong: gallery and exam.

It never touches a real site: its keys are made anew, its servers listen on loopback.
`faults` has every fault of a site by name, `servers` those of a server and of the wire.
"""
