"""What stores say of a link, a real handshake says, too: the whole gallery once more, over TLS.

And one handshake says it for all clients that believe the same.
"""

import _thread
import json
import time
from dataclasses import replace
from random import Random
from threading import Lock, Timer

import pytest
from test_acceptance import CASES, PAIRS, lab_with, sound, switched, told

from vmscert import QUICK, create_authority
from vmscert.checks import live
from vmscert.checks.acceptance import acceptance
from vmscert.checks.live import (
    in_cells,
    in_lines,
    one_by_one,
    read_verification,
    told_together,
    verify_connections,
)
from vmscert.network.servers import LOOPBACK, Loopback, on_loopback
from vmscert.practice import GALLERY, healthy
from vmscert.site.site import Host, Site

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


# Many clients, some of whom believe the same.


@pytest.fixture(scope="module")
def crowd(sound):
    """A site of two servers and eleven clients, and CAs that have nothing to do with it."""
    servers = ("management server", "event server"), ("recording server",)
    hosts = [Host(f"srv-{n}", "lyon.local", roles=roles) for n, roles in enumerate(servers)]
    hosts += [Host(f"pc-{n}", "lyon.local", roles=("smart client",)) for n in range(11)]
    lab = healthy(Site("lyon", tuple(hosts)), sound.authority, sound.at)
    others = [create_authority(f"Root {n}", lab.at, QUICK).certificate for n in range(3)]
    return lab, others


def mixed(crowd, seed):
    """That site, its clients' stores and the servers' ports as chance has them."""
    (lab, others), chance = crowd, Random(seed)
    ours, stores = lab.authority.certificate, dict(lab.stores)
    for name in [name for name in stores if chance.random() < 0.8]:
        some = tuple(chance.sample(others, chance.randrange(3)))
        trusting = (ours,) if chance.random() < 0.7 else ()
        stores[name] = replace(
            stores[name],
            root=trusting if chance.random() < 0.5 else (*some, *trusting),
            third_party_root=some,
            intermediate=(ours,) if chance.random() < 0.2 else (),
            disallowed=(ours,) if chance.random() < 0.2 else (),
            clock_offset=chance.choice((None, 0, 400 * 86400)),
        )
    stores.pop(f"pc-{chance.randrange(11)}")
    served = {host.name: dict(lab.ports(host)) for host in lab.site.servers}
    for ports in served.values():
        for port in ports:
            odd = chance.random()
            mute = replace(lab.served["srv-0"], key=None)
            ports[port] = None if odd < 0.1 else mute if odd < 0.2 else ports[port]
    return stores, served


@pytest.mark.parametrize("seed", range(6))
def test_one_handshake_for_all_that_believe_the_same_tells_each_what_its_own_would(
    crowd, seed, monkeypatch
):
    lab, (stores, served) = crowd[0], mixed(crowd, seed)
    made = []
    monkeypatch.setattr(live, "connect", lambda *a, to=live.connect: made.append(a) or to(*a))
    keys = {(host, port): it for host, ports in served.items() for port, it in ports.items()}
    with on_loopback(keys) as on:
        common = (lab.site, stores, {"srv-0": "another"}, lab.at)
        common = (*common, lambda link, _: (LOOPBACK, on[link.server, link.port]))
        together = list(verify_connections(*common, pause=0))
        few = len(made)
        each = [
            one
            for link in lab.site.connections
            for one in verify_connections(*common, [link], pause=0)
        ]
    assert [(one[:8], one.detail) for one in together] == [(one[:8], one.detail) for one in each]
    assert not any(one.ok for one in together if one.client not in stores)
    # What a client trusts besides makes no handshake: with our CA, above or below, or without it.
    calls = {(one.server, one.port, one.name) for one in together}
    assert few == max(one.handshake for one in together) <= 5 * len(calls) < len(together)


def test_of_a_client_without_inventory_nobody_says_whom_it_trusts(crowd):
    lab = crowd[0]
    stores = {name: held for name, held in lab.stores.items() if name != "pc-3"}
    seen = [one for one in replace(lab, stores=stores).verify() if one.client == "pc-3"]
    assert {one.verdict for one in seen} == {"not-judged"}
    assert "no inventory of pc-3 has come back" in seen[0].detail


def test_what_is_kept_has_a_row_for_each_answer_and_can_be_read_one_by_one(crowd):
    lab = crowd[0]
    bare = {f"pc-{n}": replace(lab.stores[f"pc-{n}"], root=()) for n in (1, 2)}
    seen = replace(lab, stores=lab.stores | bare).verify()
    rows = told_together(seen)
    assert len(rows) < len(seen) / 4
    assert sum(row["connections"] for row in rows) == len(seen)
    read = one_by_one(read_verification(in_lines(rows)))
    wanted = sorted((one.client, one.server, one.name, one.port, one.verdict) for one in seen)
    keys = ("client", "server", "name", "port", "verdict")
    assert sorted(tuple(one[key] for key in keys) for one in read) == wanted
    refused = next(row for row in rows if row["verdict"] != "verified")
    assert (refused["clients"], refused["detail"][:26]) == (
        ["pc-1", "pc-2"],
        "the client does not trust ",
    )
    older = [{"client": "pc-1", "server": "srv-0", "verdict": "verified"}]
    assert one_by_one(read_verification(json.dumps(older).encode())) == older
    long = [{"clients": [f"pc-{n}" for n in range(1000)], "connections": 1000}]
    assert [row["connections"] for row in in_cells(long)] == [400, 400, 200]


def counting(most, patience):
    """An answer that hangs up after a while; `most` hears how many callers wait at once."""
    lock, here = Lock(), []

    def answer(caller):
        with lock:
            here.append(caller)
            most.append(len(here))
        time.sleep(patience)
        with lock:
            here.remove(caller)

    return answer


def much_named(site):
    """The site whose servers have ten names more."""
    names = tuple(f"alias-{n}" for n in range(10))
    hosts = [replace(one, aliases=names) if one.ports else one for one in site]
    return replace(site, hosts=tuple(hosts))


def test_a_server_has_few_calls_at_once_however_many_names_it_has(crowd):
    most, told, lab = [], [], crowd[0]
    site = much_named(lab.site)
    links = [one for one in site.connections if one.server == "srv-0"]
    with Loopback(counting(most, 0.02)) as port:
        where = (site, lab.stores, {}, lab.at, lambda *_: (LOOPBACK, port), links)
        seen = list(verify_connections(*where, lambda *how: told.append(how), 0))
    assert {one.verdict for one in seen} & {"verified"} == set()
    assert max(most) == 4
    assert told[-1] == (told[0][1],) * 2 and len(set(told)) > 1


def test_ctrl_c_ends_it_at_once_and_calls_nobody_any_more(crowd):
    lab, most = crowd[0], []
    site = much_named(lab.site)
    with Loopback(counting(most, 0.2)) as port:
        Timer(0.1, _thread.interrupt_main).start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            list(verify_connections(site, lab.stores, {}, lab.at, lambda *_: (LOOPBACK, port)))
        assert time.monotonic() - begun < 1
        time.sleep(0.5)
    # Eight were under way, each with the second look at a server that hangs up.
    assert 0 < len(most) <= 16 < len(live.calls_of(site, site.connections))
