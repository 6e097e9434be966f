"""Whole sites are rehearsed with the real scripts, and end as their simulation ends."""

from pathlib import Path

import pytest
from beside import Beside

from vmscert import open_job
from vmscert.changes import rehearsal
from vmscert.facts import DATA
from vmscert.records.folder import Records
from vmscert.runbooks.visits import verify_site
from vmscert.site.site import THIRD_PARTY

SITES = Path(__file__).parent / "sites"
TABLES = [DATA / "sites" / "example.csv", *sorted(SITES.glob("*.csv"))]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_a_site_is_rehearsed_to_the_end_with_the_real_scripts(table, tmp_path, real, monkeypatch):
    monkeypatch.setattr(rehearsal, "Computer", Beside)
    records = Records(tmp_path / "records")
    records.begin_rehearsal()
    job = open_job("16-verify-the-site", table, records.folder)
    # Another CA signs for these: a rehearsal has none, so it leaves them as they are.
    others = {host.name for host in job.site if host.enrolment == THIRD_PARTY}
    seen = [one for one in verify_site(job) if not {one.client, one.server} & others]
    assert seen
    assert [one for one in seen if not one.ok] == []
