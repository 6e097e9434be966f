"""Runbook 18 simulates the site's own CAs, from before the new one exists to after it took over."""

from lyon import AT, CA_PASSWORD, key, open_lyon

from vmscert.certificates.authority import QUICK, create_authority
from vmscert.runbooks.overlap import TRUST, overlap_of, plan_overlap, proof, simulate_days


def test_the_change_is_simulated_before_there_is_a_next_ca_and_when_it_waits(
    tmp_path, lyon_secrets
):
    job = open_lyon(tmp_path)
    overlap = overlap_of(job)
    assert overlap.old == job.records.ca_certificate
    assert set(overlap.leaves) == {"ms", "rec-1"}  # another CA signs for the mobile server
    assert all(check.ok for check in proof(simulate_days(overlap, plan_overlap(overlap, AT, 2))))
    following = create_authority("Next root", AT, QUICK, key("next"))
    job.records.save_next(following, CA_PASSWORD, AT)
    overlap = overlap_of(job)
    assert overlap.new.subject == following.certificate.subject
    assert {v.action for v in plan_overlap(overlap, AT, 2)} >= {TRUST}


def test_after_the_next_ca_has_taken_over_the_one_before_is_the_old_one(tmp_path, lyon_secrets):
    job = open_lyon(tmp_path)
    before = job.records.ca_certificate
    following = create_authority("Next root", AT, QUICK, key("next"))
    job.records.save_next(following, CA_PASSWORD, AT)
    job.records.promote(AT)
    overlap = overlap_of(job)
    assert (overlap.old, overlap.new) == (before, following.certificate)
