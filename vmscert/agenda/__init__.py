"""What ends when, gathered once and told everywhere: calendar, mail, metrics, page, terminal.

It repairs nothing, and is never calm about what it could not read.
`gather` collects, `channels` tell, and let a computer ask daily.
"""
