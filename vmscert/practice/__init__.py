"""Sites and servers that are broken on purpose, to find out what is wrong: gallery and exam.

It never touches a real site: its keys are made anew, its servers listen on loopback.
`faults` has every fault of a site by name, `servers` those of a server and of the wire.
"""

from vmscert.door import door

__getattr__, __dir__, __all__ = door(
    "vmscert.practice",
    {
        "practice.faults": "GALLERY Lab fault healthy",
        "practice.gallery": "answer_sheet draw_exam open_gallery",
        "practice.servers": "SEEN look practice_survey",
    },
)
