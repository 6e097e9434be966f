"""What stores say of a link, a real handshake says, too: the whole gallery once more, over TLS."""

import pytest
from test_acceptance import CASES, PAIRS, lab_with, sound, switched, told

from vmscert.checks.acceptance import acceptance
from vmscert.practice import GALLERY

__all__ = ["sound"]  # a fixture

OTHER_ON_THE_WIRE = {"wrong-certificate-served"}  # of which no inventory knows
UNSERVABLE = {"weak-key", "weak-signature"}  # OpenSSL's server will not load such a certificate
SHOWN = [
    faults for faults in [*CASES[: len(GALLERY) + 1], *PAIRS[::8]] if not UNSERVABLE & {*faults}
]


@pytest.mark.parametrize("faults", SHOWN, ids="+".join)
def test_real_handshakes_verify_what_is_accepted_and_refuse_the_rest_for_that_reason(sound, faults):
    """Why a service hangs up, the wire does not say; the server's own inventory does."""
    lab = lab_with(sound, faults)
    expected = told(lab)
    links = {(c.client, c.server, c.port, c.group): c for c in lab.site.connections}
    for seen in lab.verify():
        link = links[seen.client, seen.server, seen.port, seen.group]
        codes = expected[link, seen.name]
        if not switched(lab, link):
            assert codes and seen.verdict == "not-encrypted"
        elif codes:
            assert seen.verdict in {*codes, *(OTHER_ON_THE_WIRE & {*faults})}
        elif not seen.ok:  # another certificate, or one that only strict clients refuse
            server, held = lab.site[seen.server], lab.stores[seen.server]
            client = lab.stores[seen.client]
            doubts = acceptance(server, held, seen.group, client, lab.at)[seen.name]
            assert seen.verdict in OTHER_ON_THE_WIRE | {one.code for one in doubts} | {"profile"}
            assert seen.verdict in OTHER_ON_THE_WIRE or doubts
