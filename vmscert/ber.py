"""BER and DER: values within values (ITU-T X.690), and the one form of those that have several.

OpenSSL and most clients read BER where DER is asked for; cryptography does not.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

_DEEPEST = 40  # values within values
_SET = b"\x31"
# Tags of texts: how they are encoded, and which letters they may hold (ITU-T X.680 section 41).
_TEXTS = {
    0x0C: ("utf-8", None),
    0x12: ("latin-1", rb"[0-9 ]*"),
    0x13: ("latin-1", rb"[A-Za-z0-9 '()+,./:=?-]*"),
    0x14: ("latin-1", None),
    0x15: ("latin-1", None),
    0x16: ("latin-1", rb"[\0-\x7f]*"),
    0x19: ("latin-1", None),
    0x1A: ("latin-1", rb"[ -~]*"),
    0x1B: ("latin-1", None),
    0x1C: ("utf-32-be", None),
    0x1E: ("utf-16-be", None),
}
_NAMES = {0x12: "NumericString", 0x13: "PrintableString", 0x16: "IA5String", 0x1A: "VisibleString"}
READABLE_TEXTS = {0x0C, 0x13, 0x16, 0x1A, 0x1C, 0x1E}  # by cryptography, in a directory name

Told = dict[str, None]  # what is odd, in the words of a sentence, each once


class Value(NamedTuple):
    """One value of BER (ITU-T X.690): identifier, content, and both as written."""

    head: bytes
    content: bytes
    whole: bytes


def values(data: bytes, depth: int = 0) -> Iterator[Value]:
    """Yield the values that follow each other in BER; raises for what is cut off or none."""
    place = 0
    while place < len(data):
        one = _value(data, place, depth)
        place += len(one.whole)
        yield one


def _value(data: bytes, place: int, depth: int) -> Value:
    at = place + 1
    if data[place] & 0x1F == 0x1F:  # a tag of several bytes
        while data[at] & 0x80:
            at += 1
        at += 1
    head, first, begin = data[place:at], data[at], at + 1
    if first == 0x80:  # its end is marked instead
        end = begin
        while data[end : end + 2] != b"\0\0":
            if depth > _DEEPEST:
                raise ValueError("it is nested too deep")
            end += len(_value(data, end, depth + 1).whole)
        return Value(head, data[begin:end], data[place : end + 2])
    size = first
    if first > 0x80:
        begin += first & 0x7F
        size = int.from_bytes(data[at + 1 : begin])
    if begin + size > len(data):
        raise ValueError("it ends within a value")
    return Value(head, data[begin : begin + size], data[place : begin + size])


def tlv(head: bytes, content: bytes) -> bytes:
    """Return a value in DER: its length in the fewest bytes."""
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return head + (bytes([size]) if size < 0x80 else bytes([0x80 | len(length)]) + length) + content


def rounds(data: bytes) -> int:
    """Return how often all passwords in these bytes are hashed, as far as that is in the open.

    Salt and number stand side by side in every scheme: RFC 8018 appendix A.2, RFC 7292 appendix C.
    """
    found, parts = 0, [data]
    while parts:
        try:
            held = list(values(parts.pop()))
        except (ValueError, IndexError):
            continue  # a byte string that holds no values, such as what is encrypted
        for salt, number in pairwise(held):
            if (salt.head, number.head) == (b"\x04", b"\x02"):
                found += int.from_bytes(number.content)
        parts += (one.content for one in held if one.head[0] & 0x20 or one.content[:1] == b"\x30")
    return found


def as_der(data: bytes, told: Told, depth: int = 0) -> bytes:
    """BER as DER, where that says the same; `told` takes what was changed."""
    if depth > _DEEPEST:
        raise ValueError("it is nested too deep")
    return b"".join(_one(value, told, depth) for value in values(data))


def _one(value: Value, told: Told, depth: int) -> bytes:
    head, content, whole = value
    tag = head[0]
    if tag == 0x24:  # a byte string in pieces
        head, content = b"\x04", b"".join(one.content for one in values(content))
    elif tag & 0x20:
        content = as_der(content, told, depth + 1)
    if head == _SET:
        held = [one.whole for one in values(content)]
        content = b"".join(sorted(held))
        if held != sorted(held):
            told["a SET that is not in order"] = None
    elif tag == 0x01 and content not in (b"\0", b"\xff") and len(content) == 1:
        content = b"\xff"
        told["TRUE written as 01"] = None
    elif tag == 0x03 and content and 0 < content[0] < 8 and len(content) > 1:
        content = content[:-1] + bytes([content[-1] >> content[0] << content[0]])
    elif tag in _TEXTS:
        head, content = _text(tag, content, told)
    made = tlv(head, content)
    if made != whole and not told:
        told["BER that is not DER"] = None
    return made


def _text(tag: int, content: bytes, told: Told) -> tuple[bytes, bytes]:
    """A text as it is, or in UTF-8 if it holds letters that it may not hold; raises for no text."""
    encoding, allowed = _TEXTS[tag]
    text = content.decode(encoding)
    if tag in READABLE_TEXTS and (allowed is None or re.fullmatch(allowed, content)):
        return bytes([tag]), content
    wrong = next(
        (letter for letter in text if not re.fullmatch(allowed or b"", letter.encode())), ""
    )
    told[f"{wrong} in a {_NAMES.get(tag, 'text')}"] = None
    return b"\x0c", text.encode("utf-8", "replace")
