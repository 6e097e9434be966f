"""Many certificates at once: the keys on every core, everything else where the CA key is."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from vmscert.certificates.authority import SERVER, Authority, Issued, Profile, new_key


def issue_all(
    authority: Authority,
    orders: Mapping[str, Sequence[str]],
    at: datetime,
    *,
    profile: Profile = SERVER,
) -> Iterator[tuple[str, Issued]]:
    """Yield (host, certificate with its own new key) for every host → names, in their order.

    Keys are nearly all of the work, and cryptography makes them outside Python's lock: one thread
    for each core.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        keys = [pool.submit(new_key, profile.key_bits) for _ in orders]
        try:
            for (host, names), key in zip(orders.items(), keys, strict=True):
                yield host, authority.issue(*names, at=at, profile=profile, key=key.result())
        finally:  # whoever stops early does not wait for keys that nobody wants
            for key in keys:
                key.cancel()
