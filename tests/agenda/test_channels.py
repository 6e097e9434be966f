"""One agenda through every channel: what people and programs read out of it is what was put in."""

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar
from lyon import crl
from prometheus_client.parser import text_string_to_metric_families

from vmscert.agenda.channels import (
    CRIT,
    OK,
    UNKNOWN,
    WARN,
    as_csv,
    as_json,
    calendar,
    mail,
    metrics,
    nagios,
    nagios_line,
    news,
    page_of,
)
from vmscert.agenda.gather import Agenda, Unknown, gather
from vmscert.certificates.authority import QUICK, create_authority
from vmscert.changes.job import RUNBOOK_FOR
from vmscert.checks.expiry import Due, Sight, due
from vmscert.facts import HOME
from vmscert.findings import Finding
from vmscert.records.folder import Records

DAY = timedelta(days=1)
DOWN = Unknown("rec-9", "served at rec-9:7563", "nobody answers")


@pytest.fixture(scope="module")
def authority(at, keys):
    return create_authority("Lyon VMS root 2026", at, QUICK, keys[1])


@pytest.fixture(scope="module")
def certificate(authority, at, key):
    return authority.issue("rec-1.lyon.local", "10.0.0.2", at=at, key=key).certificate


def agenda_of(certificate, on, **more):
    met = Sight("rec-1", certificate, "in use on rec-1", "IT", 'building A, "left"; Zürich')
    return Agenda(on, tuple(due([met], on)), **more)


@pytest.fixture(scope="module")
def seen(certificate):
    """The agenda so many days before the certificate's end."""
    return lambda days, **more: agenda_of(
        certificate, certificate.not_valid_after_utc - days * DAY, **more
    )


@pytest.fixture(scope="module")
def site(site_folder):
    records = Records(site_folder)
    return gather([str(records.folder)], datetime.now(UTC), lambda _: "")


@pytest.fixture(scope="module")
def events(site):
    data = calendar(site, site.at)
    return {str(one["uid"]): one for one in Calendar.from_ical(data).walk("VEVENT")}


class TestTheAgendaOfASite:
    def test_tells_every_certificate_once_with_its_owner_and_its_places(self, site):
        rows = {row.label: row for row in site.rows}
        assert len(rows) == len(site.rows)
        assert rows["vms-rec-01"].where == ("issued", "in use on vms-rec-01")
        assert (rows["vms-rec-01"].owner, rows["vms-rec-01"].note) == (
            "IT operations",
            "cameras of building A",
        )
        assert "installed on vms-pc-01" in rows["CA"].where
        assert set(site.reported) >= {"vms-pc-01", "vms-rec-01"}
        assert (site.quiet, site.unknown) == (True, ())

    def test_tells_what_goes_dark_by_name(self, site):
        servers = {name for one in site.blackouts for name in one.servers}
        assert servers == {row.label for row in site.rows if row.kind == "server"}
        assert all(not one.assumed for one in site.blackouts)

    def test_says_of_whom_it_only_assumes_what_they_hold(self, rehearsed):
        (rehearsed / "inventory" / "vms-pc-01.json").unlink()
        told = gather([str(rehearsed)], datetime.now(UTC), lambda _: "")
        assert {one.assumed for one in told.blackouts if one.assumed} == {("vms-pc-01",)}

    def test_is_the_same_from_the_table_and_from_the_folder(self, site_folder, site):
        table = str(site_folder / "site.csv")
        told = gather([table], site.at, lambda _: "", folder=str(site_folder))
        assert (told.rows, told.blackouts) == (site.rows, site.blackouts)

    def test_does_not_list_roots_that_nobody_here_needs(self, rehearsed, authority):
        from vmscert.windows.inventory import read_inventory, write_inventory

        path = rehearsed / "inventory" / "vms-pc-01.json"
        held = read_inventory(path)
        path.write_bytes(write_inventory(replace(held, root=(*held.root, authority.certificate))))
        told = gather([str(rehearsed)], datetime.now(UTC), lambda _: "")
        assert authority.name not in {row.subject for row in told.rows}

    def test_tells_of_an_inventory_alone_what_the_computer_holds(self, site_folder):
        path = site_folder / "inventory" / "vms-rec-01.json"
        told = gather([str(path)], datetime.now(UTC), lambda _: "")
        assert {row.kind for row in told.rows} == {"server", "CA"}


class TestTheCalendar:
    def test_has_one_event_a_certificate_on_its_renewal_day(self, site, events):
        days = {f"{row.fingerprint.lower()}@vmscert": row.renew_on.date() for row in site.rows}
        assert {uid: one["dtstart"].dt for uid, one in events.items()} == days
        assert all(type(one["dtstart"].dt) is date for one in events.values())

    def test_rings_sixty_thirty_fourteen_seven_days_and_one_day_before(self, events):
        for event in events.values():
            alarms = [-one["trigger"].dt for one in event.walk("VALARM")]
            assert alarms == [n * DAY for n in (60, 30, 14, 7, 1)]

    def test_never_rings_before_the_certificate_is_there(self, authority, at, key):
        short = create_authority("s", at, replace(QUICK, days=60), key).certificate
        (row,) = due([("s", short)], at)
        event = Calendar.from_ical(calendar(Agenda(at, (row,)), at)).walk("VEVENT")[0]
        for alarm in event.walk("VALARM"):
            assert row.renew_on + alarm["trigger"].dt > row.not_before

    def test_describes_what_to_renew_whose_it_is_and_where_to_begin(self, seen):
        one = seen(90)
        event = Calendar.from_ical(calendar(one, one.at)).walk("VEVENT")[0]
        row, text = one.rows[0], str(event["description"])
        for word in (*row.names, row.thumbprint, row.owner, row.note, RUNBOOK_FOR["server"]):
            assert word in text

    def test_is_folded_and_ends_its_lines_as_rfc_5545_has_it(self, seen):
        data = calendar(seen(90), seen(90).at)
        assert data.count(b"\n") == data.count(b"\r\n")
        assert max(map(len, data.split(b"\r\n"))) <= 75

    def test_replaces_itself_when_it_is_imported_again(self, seen):
        first, again = (
            Calendar.from_ical(calendar(seen(90), made)).walk("VEVENT")[0]
            for made in (seen(90).at, seen(90).at + DAY)
        )
        assert first["uid"] == again["uid"]
        assert first["sequence"] < again["sequence"]
        assert first["dtstamp"].dt < again["dtstamp"].dt

    def test_cancels_what_was_replaced(self, seen):
        row = replace(seen(90).rows[0], status="replaced")
        data = calendar(replace(seen(90), rows=(row,)), seen(90).at)
        (event,) = Calendar.from_ical(data).walk("VEVENT")
        assert (str(event["status"]), event.walk("VALARM")) == ("CANCELLED", [])


class TestTheMetrics:
    def read(self, agenda, made):
        text = metrics(agenda, made).decode()
        return {
            one.name: [(sample.labels, sample.value) for sample in one.samples]
            for one in text_string_to_metric_families(text)
        }

    def test_are_named_as_by_the_common_exporter(self, seen):
        one = seen(5, reported={"rec-1": seen(9).at}, unknown=(DOWN,))
        row, found = one.rows[0], self.read(one, one.at)
        ((labels, value),) = found["x509_cert_not_after"]
        assert value == row.not_after.timestamp()
        assert labels["serial_number"] == str(int(row.serial, 16))
        assert (labels["subject_CN"], labels["issuer_CN"]) == (row.subject, row.issuer)
        assert found["x509_cert_not_before"][0][1] == row.not_before.timestamp()
        assert found["x509_cert_expired"][0][1] == 0
        assert self.read(seen(-1), one.at)["x509_cert_expired"][0][1] == 1
        assert found["vmscert_unknown"] == [
            ({"filename": "rec-9", "where": "served at rec-9:7563"}, 1)
        ]

    def test_tell_how_old_they_are(self, seen):
        one = seen(5, reported={"rec-1": seen(9).at})
        found = self.read(one, one.at + DAY)
        assert found["vmscert_inventory_timestamp_seconds"] == [({}, (one.at + DAY).timestamp())]
        age = found["vmscert_computer_inventory_timestamp_seconds"]
        assert age == [({"computer": "rec-1"}, seen(9).at.timestamp())]

    def test_tell_revocation_lists_apart(self, authority, at):
        one = Agenda(at, tuple(due([("CRL", crl(authority, at, 60))], at)))
        found = self.read(one, at)
        ((labels, value),) = found["x509_crl_next_update"]
        assert (value, labels["crl_number"]) == ((at + 60 * DAY).timestamp(), "7")
        assert found["x509_cert_not_after"] == []

    def test_hold_two_certificates_that_differ_in_nothing_else(self, seen):
        row = seen(5).rows[0]
        twin = replace(row, fingerprint="AB" * 32)
        found = self.read(replace(seen(5), rows=(row, twin)), seen(5).at)
        assert len({tuple(sorted(labels.items())) for labels, _ in found["x509_cert_expired"]}) == 2


class TestNagios:
    @pytest.mark.parametrize(
        ("days", "unknown", "code"),
        [
            (91, (), OK),
            (60, (), OK),
            (30, (), WARN),
            (14, (), CRIT),
            (-1, (), CRIT),
            (91, (DOWN,), UNKNOWN),
            (30, (DOWN,), UNKNOWN),
            (14, (DOWN,), CRIT),
        ],
    )
    def test_the_worst_counts_and_what_is_unknown_is_never_fine(self, seen, days, unknown, code):
        assert nagios(seen(days, unknown=unknown))[0] == code

    def test_nothing_at_all_is_unknown(self, at):
        assert nagios(Agenda(at))[0] == UNKNOWN
        assert nagios(Agenda(at, unknown=(DOWN,)))[0] == UNKNOWN

    def test_what_is_told_at_once_is_a_warning(self, seen):
        told = Finding("ca-ends-first", "rec-1", "its CA ends")
        row = replace(seen(200).rows[0], findings=(told,))
        code, line = nagios(replace(seen(200), rows=(row,)))
        assert (code, "ca-ends-first on rec-1" in line) == (WARN, True)

    def test_the_line_says_what_ends_first_and_counts_in_days(self, seen):
        _, line = nagios(seen(9))
        day = f"{seen(9).rows[0].not_after:%Y-%m-%d}"
        assert line == (
            f"CERTIFICATES CRITICAL - rec-1 ends on {day}, in 9 days | days=9;30;14 'rec-1'=9;30;14"
        )

    @given(label=st.text(max_size=30), why=st.text(max_size=30))
    def test_no_name_breaks_the_line(self, seen, label, why):
        row = replace(seen(9).rows[0], label=label)
        _, line = nagios(replace(seen(9), rows=(row, row), unknown=(replace(DOWN, why=why),)))
        assert len(line.splitlines()) == 1
        assert line.count("|") == 1
        perfdata = line.partition("|")[2]
        assert len(re.findall(r"'[^'=|]*'=\d+;30;14(?: |$)", perfdata)) == 2

    def test_an_error_is_one_line(self):
        assert nagios_line(UNKNOWN, "a\nb | c") == "CERTIFICATES UNKNOWN - a b / c"


class TestTheTables:
    def test_json_and_csv_hold_the_same_certificates_and_the_unknown(self, seen):
        one = seen(9, unknown=(DOWN,))
        known, unknown = json.loads(as_json(one))
        rows = list(csv.DictReader(io.StringIO(as_csv(one).decode("utf-8-sig"))))
        assert [row["label"] for row in rows] == ["rec-1", "rec-9"]
        assert (known["days_left"], rows[0]["days_left"]) == (9, "9")
        assert known["not_after"] == rows[0]["not_after"]
        assert rows[0]["not_after"].endswith("Z")
        assert (unknown["status"], rows[1]["status"], rows[1]["not_after"]) == (
            "unknown", "unknown", "",
        )  # fmt: skip
        assert (known["note"], rows[0]["note"]) == (one.rows[0].note,) * 2

    def test_name_who_goes_dark_with_each_certificate(self, site):
        rows = {row["label"]: row for row in json.loads(as_json(site))}
        assert rows["vms-rec-01"]["dark_servers"] == ["vms-rec-01"]
        assert "vms-pc-01" in rows["vms-rec-01"]["dark_clients"]
        assert rows["CA"]["dark_links"] == 0

    def test_a_name_out_of_a_certificate_is_no_formula(self, seen):
        row = replace(seen(9).rows[0], label="=1+1", days_left=-9)
        text = as_csv(replace(seen(9), rows=(row,))).decode("utf-8-sig")
        (read,) = csv.DictReader(io.StringIO(text))
        assert (read["label"], read["days_left"]) == ("'=1+1", "-9")

    def test_the_page_needs_no_network_and_shows_names_as_text(self, site):
        row = replace(site.rows[0], label="<script>alert(1)</script>")
        text = page_of(replace(site, rows=(row, *site.rows[1:]), unknown=(DOWN,))).decode()
        assert "<script" not in text
        assert not re.search(r"(?:src|href)=.?https?:", text)
        assert "vms-rec-01 goes dark on" in text
        assert "<svg" in text
        assert "nobody answers" in text


class TestMail:
    def told(self, agenda, memory):
        fresh, memory = news(agenda, memory)
        return mail(fresh), memory

    def test_is_silent_when_all_is_fine(self, seen):
        assert mail(seen(200)) == ""

    def test_has_a_subject_of_one_line_and_all_that_a_person_needs(self, seen):
        text = mail(seen(9, unknown=(DOWN,)))
        head, _, body = text.partition("\n\n")
        assert re.fullmatch(
            r"Subject: Certificates: rec-1 ends on \S+, in 9 days \(1 critical, 1 unknown\)", head
        )
        row = seen(9).rows[0]
        for word in (*row.names, row.thumbprint, row.owner, "Zürich", "nobody answers"):
            assert word in body

    def test_tells_each_threshold_once_then_every_day_of_the_last_week(self, seen):
        """A year, looked at twice a day: three thresholds, the last week, the first dark one."""
        memory, days = {}, []
        for half in range(2 * 120, -2 * 20, -1):
            text, memory = self.told(seen(half / 2), memory)
            days += [half / 2] if text else []
        assert days[:3] == [90, 30, 14]
        week = [day for day in days[3:] if day > 0]
        assert len(week) == len({int(day) for day in week}) == 8  # the seventh day, too
        assert -8 < min(days) < -6

    def test_two_runs_on_one_day_say_it_once(self, seen):
        first, memory = self.told(seen(3), {})
        again, same = self.told(seen(3), memory)
        assert (bool(first), again, same) == (True, "", memory)

    def test_a_renewed_certificate_makes_no_noise(self, seen, authority, certificate, key):
        _, memory = self.told(seen(9), {})
        at = certificate.not_valid_after_utc - 8 * DAY
        newer = authority.issue("rec-1.lyon.local", "10.0.0.2", at=at, key=key).certificate
        met = [
            Sight("rec-1", certificate, "installed on rec-1"),
            Sight("rec-1", newer, "in use on rec-1"),
        ]
        for day in range(60):
            on = at + day * DAY
            text, memory = self.told(Agenda(on, tuple(due(met, on))), memory)
            assert text == ""

    def test_a_silent_server_is_told_once_and_again_when_it_fails_again(self, seen):
        down, up = seen(200, unknown=(DOWN,)), seen(200)
        first, memory = self.told(down, {})
        second, memory = self.told(down, memory)
        third, memory = self.told(up, memory)
        fourth, _ = self.told(down, memory)
        assert [bool(text) for text in (first, second, third, fourth)] == [True, False, False, True]

    def test_what_was_not_met_once_is_not_told_as_new(self, seen):
        _, memory = self.told(seen(60), {})
        _, memory = self.told(Agenda(seen(50).at, unknown=(DOWN,)), memory)
        assert self.told(seen(40), memory)[0] == ""

    def test_what_is_told_at_once_is_told_once(self, seen):
        told = Finding("ca-ends-first", "rec-1", "its CA ends")
        one = replace(seen(200), rows=(replace(seen(200).rows[0], findings=(told,)),))
        first, memory = self.told(one, {})
        assert "ca-ends-first: its CA ends" in first
        assert self.told(one, memory)[0] == ""


def test_every_kind_of_row_names_a_notebook_that_is_there():
    assert set(RUNBOOK_FOR) == {"CA", "CRL", "server", "certificate"}
    assert Due.__dataclass_fields__["kind"].default in RUNBOOK_FOR
    assert all((HOME / "notebooks" / f"{name}.ipynb").exists() for name in RUNBOOK_FOR.values())
