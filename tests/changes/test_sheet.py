"""What people tick after the handshakes: the sheet, how it comes back, how a change is closed."""

import csv
import io
from dataclasses import replace

import lyon
import pytest
from command import vmscert
from lyon import MS, PC, SITE

from vmscert.changes.acceptance import blank_sheet, is_sheet, read_sheet, sheet_of
from vmscert.facts import DATA, facts
from vmscert.notebook.acceptance import acceptance_form
from vmscert.runbooks.returns import take_each, take_files
from vmscert.runbooks.stages import runbook_of
from vmscert.site.site import Host, Site

ANNA = "Anna Berg"


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A real site whose certificates are made, seen by runbook 16."""
    lyon.secrets(monkeypatch)
    table = tmp_path / "lyon.csv"
    table.write_bytes(b"name,roles\n")
    opened = lyon.open_lyon(tmp_path / "lyon")
    opened.records.save_table(table.read_bytes())
    return replace(opened, runbook="16-verify-the-site", change=None, table=table)


def path_of(job):
    return job.records.folder / "acceptance" / f"{sheet_of(job).number}.csv"


def filled(job, said, **form):
    """The sheet's file as somebody saved it, who said something of some looks."""
    rows = csv.DictReader(io.StringIO(path_of(job).read_text("utf-8-sig")))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows.fieldnames, delimiter=form.get("delimiter", ","))
    writer.writeheader()
    for row in rows:
        writer.writerow(
            row | dict(zip(("right", "who", "remark"), said(int(row["no"])), strict=True))
        )
    return text.getvalue().encode(form.get("encoding", "utf-8"))


def bring(job, said, **form):
    ((told, kept),) = take_each(job, [("back.csv", filled(job, said, **form))])
    assert kept, told
    return told


def close(job, accepted_by=""):
    """Close runbook 16; return the folder of its change."""
    runbook = runbook_of(job)
    list(runbook.plan())
    list(runbook.close(accepted_by))
    return runbook.job.change.folder


def closing(job):
    return [one.note for one in job.records.ledger.entries() if one.action == "close"][-1]


def looks_at(site):
    """(where, what) of all that is to be looked at."""
    return [(one.on, one.do) for one in blank_sheet(State(site)).ticks]


class State:
    """A site of which nothing is known but its table."""

    def __init__(self, site):
        self.site, self.thumbprints = site, {}


def test_each_recorder_is_looked_at_from_a_named_client_and_each_client_logs_in():
    clients = [Host(f"pc-{n}", roles=("smart client",)) for n in range(3)]
    recorders = [Host(f"rec-{n}", roles=("recording server",)) for n in range(5)]
    told = looks_at(Site("", (MS, *recorders, *clients)))
    for number in range(5):
        on = f"pc-{number % 3}"
        assert (on, f"open a camera of rec-{number}, live") in told
    assert {on for on, do in told if do.startswith("log in with Smart")} == {"pc-0", "pc-1", "pc-2"}
    assert len([do for _, do in told if do.startswith("export")]) == 1


@pytest.mark.parametrize("role", sorted({r["role"] for r in facts("xprotect/components")}))
def test_a_role_decides_which_looks_there_are_and_none_is_about_one_that_is_not_there(role):
    with_it = set(looks_at(Site("", (Host("x-1", roles=(role,)),))))
    assert {on for on, _ in with_it} <= {"x-1", "smart client", "management client",
                                         "a phone outside the house's network"}  # fmt: skip
    assert bool(with_it) == (role != "data collector")  # which is installed beside others
    assert not {do for _, do in looks_at(Site("", ()))}


def test_names_are_those_that_people_type_and_a_cluster_says_where_its_services_run():
    told = dict(map(reversed, looks_at(SITE)))
    assert told["log in with the app as video.example.com, open a camera"].startswith("a phone")
    node = replace(MS, cluster=lyon.CLUSTER)
    (tick, *_) = blank_sheet(State(Site("", (node, PC)))).ticks
    assert tick.when.startswith("each runs, and starts automatically, where the cluster runs it")
    assert ("pc-1", "log in with Smart Client, to vms.lyon.local") in looks_at(Site("", (node, PC)))


def test_every_row_has_its_source_and_speaks_of_roles_that_exist():
    roles = {row["role"] for row in facts("xprotect/components")}
    for row in facts("change/acceptance"):
        assert row["source"]
        assert row["tag"] in {"C", "C2", "E", "G", "I"}
        assert set(row["at"].split("|")) <= roles


def test_without_a_tick_a_change_is_technically_verified_and_says_what_nobody_saw(job):
    folder = close(job)
    assert closing(job).startswith("technically verified (people found 0 of ")
    assert "not looked at: all" in closing(job)
    assert "☐ yes" in (folder / "details/acceptance.html").read_text("utf-8")


def test_next_morning_it_is_accepted_in_a_record_of_its_own_and_the_first_stays(job):
    first = close(job)
    before = lyon.tree(first)
    assert "run 16-verify-the-site again with ACCEPTED_BY" in bring(
        job, lambda no: ("yes", "AB", "")
    )
    ticked = vmscert("records", "verify", job.records.folder, folder=job.table.parent)
    assert (ticked.returncode, "acceptance/" in ticked.stdout) == (0, True), ticked.stderr
    second = close(job, ANNA)
    assert second != first
    assert lyon.tree(first) == before
    assert closing(job).startswith(f"accepted by {ANNA} (people found ")
    assert f"accepted by {ANNA}" in (second / "record.html").read_text("utf-8")
    row = next(csv.DictReader((second / "details/acceptance.csv").open(encoding="utf-8-sig")))
    assert (row["right"], row["who"]) == ("yes", "AB")
    verified = vmscert("records", "verify", job.records.folder, folder=job.table.parent)
    assert verified.returncode == 0, verified.stderr
    assert "2 change records, signed and unbroken" in verified.stdout


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (lambda no: ("no", "CD", "black picture") if no == 2 else ("yes", "AB", ""),
         "not right: 2, black picture"),
        (lambda no: ("no", "", "") if no == 2 else ("", "", ""), "not right: 2, no remark"),
        (lambda no: ("yes", "", ""), "nobody says who ticked 1, 2"),
        (lambda no: ("", "", ""), "not looked at: all"),
    ],
)  # fmt: skip
def test_what_is_not_right_or_nobodys_is_said_and_is_not_accepted(job, said, told):
    bring(job, said)
    close(job, ANNA)
    assert closing(job).startswith(f"technically verified, not accepted by {ANNA} (")
    assert told in closing(job)


def test_what_was_not_looked_at_is_said_of_an_accepted_change_too(job):
    bring(job, lambda no: ("", "", "") if no in (2, 3) else ("yes", "AB", ""))
    close(job, ANNA)
    assert closing(job).startswith(f"accepted by {ANNA} (")
    assert "not looked at: 2, 3" in closing(job)


@pytest.mark.parametrize(
    "form",
    [{}, {"delimiter": ";", "encoding": "cp1252"}, {"delimiter": "\t", "encoding": "utf-16"},
     {"delimiter": ";", "encoding": "utf-8-sig"}],
    ids=str,
)  # fmt: skip
def test_it_comes_back_as_any_spreadsheet_saves_it(job, form):
    bring(job, lambda no: ("JA", "Bjørn", "=SUM(A1)") if no == 1 else ("", "", ""), **form)
    tick = sheet_of(job).ticks[0]
    assert (tick.right, tick.who) == ("yes", "Bjørn")
    assert "'=SUM" in path_of(job).read_text("utf-8")


def test_two_people_each_bring_their_part_and_neither_is_lost(job):
    bring(job, lambda no: ("yes", "AB", "") if no == 1 else ("", "", ""))
    bring(job, lambda no: ("no", "CD", "dark") if no == 2 else ("", "", ""))
    assert [one.who for one in sheet_of(job).ticks[:3]] == ["AB", "CD", ""]


def test_who_looks_again_replaces_what_was_said_with_its_remark(job):
    bring(job, lambda no: ("no", "AB", "dark") if no == 1 else ("", "", ""))
    bring(job, lambda no: ("yes", "CD", "") if no == 1 else ("", "", ""))
    tick = sheet_of(job).ticks[0]
    assert (tick.right, tick.who, tick.remark) == ("yes", "CD", "")


def changed_cell(job, old, new):
    return path_of(job).read_bytes().replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"sheet,no", b"sheet,num", "line 1: column 'no' is missing"),
        (b",1,", b",77,", "line 2: there is no look '77'"),
        (b",,,\r\n", b",perhaps,,\r\n", "line 2: 'perhaps' is neither yes nor no"),
        (b"\r\n", b"\r\nzzzzzzzz,1,,,,yes,AB,\r\n", "line 2: sheet 'zzzzzzzz' is of another"),
    ],
)
def test_what_is_odd_in_a_file_is_one_sentence_and_nothing_of_it_is_kept(job, old, new, said):
    sheet_of(job)
    before = path_of(job).read_bytes()
    ((told, kept),) = take_each(job, [("back.csv", changed_cell(job, old, new))])
    assert not kept
    assert said in told
    assert path_of(job).read_bytes() == before


@pytest.mark.parametrize("junk", [b"", b"\xff\xfe\x00", b"no,\0", b'"', b"a,b\n1,2"])
def test_what_is_no_sheet_never_raises_another_error(job, junk):
    known = blank_sheet(job.state())
    with pytest.raises(ValueError, match=r"^x\.csv, line \d+: "):
        read_sheet("x.csv", b"sheet" + junk, known)
    assert not is_sheet(junk)


def test_a_table_of_a_site_is_no_sheet(job):
    assert not is_sheet((DATA / "sites" / "example.csv").read_bytes())
    ((told, kept),) = take_files(job, [DATA / "sites" / "example.csv"])
    assert not kept
    assert "sheet" not in told


def test_other_certificates_want_another_sheet_and_the_one_before_stays(job):
    bring(job, lambda no: ("yes", "AB", ""))
    old = path_of(job)
    lyon.certificates.renew_certificates(
        replace(job, change=lyon.Approved()), ["ms"], lyon.PFX_PASSWORD
    )
    assert path_of(job) != old
    assert old.exists()
    close(job, ANNA)
    assert "not looked at: all" in closing(job)


def test_a_number_of_a_sheet_is_no_number_to_a_spreadsheet(job):
    assert sheet_of(job).number.isalpha()


def test_the_form_keeps_what_is_ticked_with_who_it_was(job):
    form = acceptance_form(job)
    who, first, second, *_, button = form.form.children
    first.children[0].value = "yes"
    assert "Nobody says who looked" in form.after(form.acts[button])["text/plain"]
    assert not sheet_of(job).ticks[0].right
    who.value = "AB"
    form.after(form.acts[button])
    who.value = "CD"
    second.children[0].value, second.children[1].value = "no", "dark <b>"
    told = form.after(form.acts[button])
    ticks = sheet_of(job).ticks[:2]
    assert [(one.right, one.who) for one in ticks] == [("yes", "AB"), ("no", "CD")]
    assert "not right: 2, dark" in told["text/plain"]
    assert "<b>" not in told["text/html"].replace("<b>1", "")


def test_what_somebody_types_becomes_no_markup_on_the_page(job):
    bring(job, lambda no: ("no", "<b>me</b>", "<script>alert(1)</script>"))
    page = path_of(job).with_suffix(".html").read_text("utf-8")
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<b>me" not in page
