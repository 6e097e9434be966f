"""What only lessons call: RSA by hand, a handshake captured, the bytes of a certificate, quizzes.

Nothing here protects anything; no other folder imports it, and nobody the `textbook`.
`exercises` has what every lesson uses, `recording` the handshake.
"""

from vmscert.door import door

__getattr__, __dir__, __all__ = door(
    "vmscert.lessons",
    {
        "certificates.keys": "is_teaching teaching_key",
        "lessons.exercises": "AT Quiz expect lesson_ca lesson_server milliseconds quiz self_test",
        "lessons.messages": "certificate_fields",
        "lessons.recording": "Recording capture key_shares open_recording signed_by_server",
    },
)
