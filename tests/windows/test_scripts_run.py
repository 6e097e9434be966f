"""Whole sites are rehearsed with the real scripts, and end as their simulation ends."""

from pathlib import Path

import pytest
from beside import Beside

from vmscert import open_job
from vmscert.changes import rehearsal
from vmscert.facts import DATA
from vmscert.records.folder import Records
from vmscert.runbooks.visits import verify_site

SITES = Path(__file__).parent / "sites"
TABLES = [DATA / "sites" / "example.csv", *sorted(SITES.glob("*.csv"))]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_a_site_is_rehearsed_to_the_end_with_the_real_scripts(table, tmp_path, real, monkeypatch):
    monkeypatch.setattr(rehearsal, "Computer", Beside)
    records = Records(tmp_path / "records")
    records.begin_rehearsal()
    job = open_job("16-verify-the-site", table, records.folder)
    seen = verify_site(job)
    assert seen
    assert [one for one in seen if one.stops(job.site)] == []
