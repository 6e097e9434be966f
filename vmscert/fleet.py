"""Many certificates at once: the keys on every core, everything else where the CA key is."""

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from vmscert.authority import SERVER, Authority, Issued, Profile, new_key
from vmscert.keyfile import clear_key


def issue_all(
    authority: Authority,
    orders: Mapping[str, Sequence[str]],
    at: datetime,
    *,
    profile: Profile = SERVER,
    executor: Executor | None = None,
) -> Iterator[tuple[str, Issued]]:
    """Yield (host, certificate with its own new key) for every host → names, in their order.

    `executor` is anything with `submit` as in concurrent.futures: threads (the default, one for
    each core: cryptography makes keys outside Python's lock), processes, or a Dask cluster. It
    only makes keys, which is nearly all of the work; the CA key never leaves this process.
    """
    pool = executor or ThreadPoolExecutor(os.cpu_count())
    # The token makes each task unique: Dask would run equal tasks once, one key for all.
    keys = [pool.submit(_make_key, profile.key_bits, secrets.token_hex(8)) for _ in orders]
    try:
        for (host, names), key in zip(orders.items(), keys, strict=True):
            made = load_key(key.result())
            yield host, authority.issue(*names, at=at, profile=profile, key=made)
    finally:  # whoever stops early does not wait for keys that nobody wants
        for key in keys:
            key.cancel()
        if executor is None:
            pool.shutdown()


def load_key(der: bytes) -> RSAPrivateKey:
    """Load a key that this kit has just made: checking it again would cost as much as making it."""
    key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    return key


def _make_key(bits: int, _token: str) -> bytes:
    return clear_key(new_key(bits))
