"""One agenda, told through every channel: table, calendar, metrics, monitoring, page, mail.

Nothing is written or sent here. The last ones let computers watch by themselves.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from icalendar import Alarm, Calendar, Event
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from vmscert.agenda.gather import CLOCK, Agenda
from vmscert.certificates.diagnosis import WARNING
from vmscert.changes.job import RUNBOOK_FOR
from vmscert.checks.acceptance import dark_findings, dark_links
from vmscert.checks.blackout import Blackout
from vmscert.checks.expiry import CRITICAL, EARLY, Due
from vmscert.facts import facts
from vmscert.names import iso
from vmscert.pages import page, render, sheet
from vmscert.pictures.bands import timeline
from vmscert.pictures.site_map import site_map
from vmscert.site.site import named
from vmscert.windows.scripts import refuse_hiding, script

_SECOND = timedelta(seconds=1)  # an end is the last second that still counts
_ALARMS = (60, 30, 14, 7, 1)  # days before the renewal day
_DAILY = 7  # days around the end: said every day, not only once
_some = partial(named, most=12)  # computers in one line; more are counted
_MOST_PERFDATA = 50  # certificates, the soonest; many monitoring systems cut longer lines
_WORST_FIRST = ("expired", EARLY, "critical", "unknown", "warning", "plan")
OK, WARN, CRIT, UNKNOWN = 0, 1, 2, 3  # exit codes of a monitoring plugin
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_HOUR = 7  # of the daily run, before people begin; any hour does

Memory = dict[str, dict[str, str]]  # SHA-256 or place → what was told, and on which day


def records(agenda: Agenda) -> list[dict[str, Any]]:
    """Return one record for each certificate and each unknown, ready for JSON; dates as text."""
    dark_with = {one.thumbprint: one for one in agenda.blackouts}
    told = []
    for row in agenda.rows:
        dark = dark_with.get(row.thumbprint, Blackout(agenda.at, "", "", ()))
        of_row = {
            "not_before": iso(row.not_before),
            "not_after": iso(row.not_after),
            "renew_on": iso(row.renew_on),
            "share_left": round(row.share_left, 4),
            "findings": [f"{one.code}: {one.detail}" for one in row.findings],
            "dark_servers": dark.servers,
            "dark_clients": dark.clients,
            "dark_links": len(dark.links),
            "why": "",
        }
        told.append(asdict(row) | of_row)
    blank = dict.fromkeys(told[0] if told else ())
    return [*told, *(blank | asdict(one) | {"where": [one.where]} for one in agenda.unknown)]


def as_json(agenda: Agenda) -> str:
    """Return the records as JSON."""
    return json.dumps(records(agenda), indent=1, ensure_ascii=False)


def as_csv(agenda: Agenda) -> bytes:
    """Return the records as CSV that Excel opens."""
    return sheet(records(agenda))


def calendar(agenda: Agenda, made: datetime) -> bytes:
    """Return an iCalendar file (RFC 5545): one event a certificate, on its renewal day.

    The alarms go off before that day, so that there is time until the end. The UID is the
    certificate's own: importing again replaces, and what was replaced meanwhile is cancelled.
    """
    found = Calendar()
    found.add("prodid", "-//vmscert//certificates that end//EN")
    found.add("version", "2.0")
    found.add("method", "PUBLISH")
    found.add("x-wr-calname", "Certificates: renewal days")
    for row in agenda.rows:
        found.add_component(_event(row, made))
    return found.to_ical()


def _event(row: Due, made: datetime) -> Event:
    event, day = Event(), row.renew_on.astimezone(UTC).date()
    event.add("uid", f"{row.fingerprint.lower()}@vmscert")
    event.add("dtstamp", made)
    # Calendars keep the event with the higher number; minutes grow from one export to the next.
    event.add("sequence", int(made.timestamp()) // 60)
    event.add("dtstart", day)
    event.add("dtend", day + timedelta(days=1))
    event.add("summary", f"Renew {row.label}: it ends on {row.not_after:%Y-%m-%d}")
    event.add("description", _described(row))
    event.add("transp", "TRANSPARENT")  # nobody is busy all day because of it
    event.add("status", "CANCELLED" if row.status == "replaced" else "CONFIRMED")
    for days in _ALARMS if row.status != "replaced" else ():
        if row.renew_on - timedelta(days=days) > row.not_before:
            alarm = Alarm()
            alarm.add("action", "DISPLAY")
            alarm.add("trigger", -timedelta(days=days))
            alarm.add("description", f"Renew {row.label} within {days} day{'s' * (days > 1)}")
            event.add_component(alarm)
    return event


def _described(row: Due) -> str:
    about = {"met": _some(row.where), "runbook": RUNBOOK_FOR[row.kind]}
    return render("certificate.txt", row=row, **about).rstrip("\n")


def metrics(agenda: Agenda, made: datetime) -> bytes:
    """Return metrics for the textfile collector of node_exporter or windows_exporter."""
    reported = agenda.reported.items()
    told: dict[str, list[dict[str, Any]]] = {  # what data/metrics.csv tells of → its values
        "certificate": [],
        "CRL": [],
        "unknown": [{**vars(one), "is": 1} for one in agenda.unknown],
        "file": [{"is": made.timestamp()}],
        "computer": [{"computer": name, "is": at.timestamp()} for name, at in reported],
    }
    for row in agenda.rows:
        values = {
            "number": int(row.serial or "0", 16),  # decimal, as the exporter has it
            "beginning": row.fingerprint[:8].lower(),  # two of one CA may share all the others
            "not_before": row.not_before.timestamp(),
            "not_after": row.not_after.timestamp(),
            "ended": row.status == "expired",
        }
        told["CRL" if row.kind == "CRL" else "certificate"].append(vars(row) | values)
    registry = CollectorRegistry()
    for fact in facts("metrics"):
        labels = dict(pair.split("=") for pair in filter(None, fact["labels"].split("|")))
        gauge = Gauge(fact["metric"], fact["meaning"], labels, registry=registry)
        for values in told[fact["of"]]:
            filled = [values[source] for source in labels.values()]
            (gauge.labels(*filled) if filled else gauge).set(values[fact["tells"]])
    return generate_latest(registry)


def nagios(agenda: Agenda) -> tuple[int, str]:
    """Return the exit code of a monitoring plugin, and its one line.

    The worst counts: CRITICAL, then UNKNOWN (it may be one, and is never fine), then WARNING.
    """
    codes = [_code(row) for row in agenda.rows]
    codes += [UNKNOWN] if agenda.unknown or not codes else []
    code = next((one for one in (CRIT, UNKNOWN, WARN) if one in codes), OK)
    live = [row for row in agenda.rows if row.status != "replaced"]
    return code, nagios_line(code, _summary(agenda, live), _perfdata(live))


def nagios_line(code: int, text: str, perfdata: str = "") -> str:
    """Return one line as monitoring systems read it; what would end it early is taken out."""
    words = " ".join(text.replace("|", "/").split())
    return f"CERTIFICATES {_WORDS[code]} - {words}" + (f" | {perfdata}" if perfdata else "")


def _code(row: Due) -> int:
    if row.status in ("expired", "critical", EARLY):
        return CRIT
    return WARN if row.status == "warning" or row.findings else OK


def _summary(agenda: Agenda, live: Sequence[Due]) -> str:
    told = [agenda.clock] if agenda.clock else []
    told += [_sentence(live[0])] if live else ["nothing is known to end"]
    told += [_sentence(row) for row in live[1:] if row.status == EARLY][:2]
    loud = sum(_code(row) != OK for row in live[1:])
    told += [f"{loud} more to act on"] if loud else []
    told += [f"{one.code} on {one.where}" for row in live for one in row.findings[:1]][:3]
    unknown = [one for one in agenda.unknown if one.label != CLOCK]
    told += [f"{one.label} is unknown ({one.why})" for one in unknown[:2]]
    told += [f"{len(unknown) - 2} more unknown"] if len(unknown) > 2 else []
    return "; ".join(told)


def _perfdata(live: Sequence[Due]) -> str:
    """The days that are left, first of the soonest; labels without what can't be in them."""
    found: dict[str, str] = {}
    for row in live[:_MOST_PERFDATA]:
        clean = "".join("_" if c in "'=|\"" or not c.isprintable() else c for c in row.label)
        same = sum(name == clean or name.startswith(f"{clean} #") for name in found)
        _, warning, critical = row.thresholds
        days = f"{row.days_left};{min(warning.days, WARNING)};{min(critical.days, CRITICAL)}"
        found[f"{clean} #{same + 1}" if same else clean] = days
    first = [f"days={days}" for days in [*found.values()][:1]]
    return " ".join([*first, *(f"'{name}'={days}" for name, days in found.items())])


def page_of(agenda: Agenda) -> bytes:
    """Return a page that opens offline and prints: table, findings, timeline, what goes dark."""
    live = [row for row in agenda.rows if row.status != "replaced"]
    title = f"What ends when, seen on {agenda.at:%Y-%m-%d}"
    pictures = {"timeline.svg": timeline(live, agenda.at).svg} if live else {}
    maps = []  # of each site on its first dark day
    for number, one in enumerate(agenda.outlooks):
        if one.blackouts:
            day, name = max(agenda.at, one.blackouts[0].since + _SECOND), f"map-{number}.svg"
            lost = dark_findings(dark_links(one.site, one.stores, day))
            pictures[name] = site_map(one.site, findings=lost).svg
            maps.append((one.site, day, name))
    told = {"live": live, "unknown": agenda.unknown, "maps": maps, "dark": dark_lines(agenda)}
    text = render(
        "due.md", title=title, findings=findings_lines(agenda), clock=agenda.clock, **told
    )
    return page(text, title, pictures)


def findings_lines(agenda: Agenda) -> list[str]:
    """Return what is told at once, one sentence for each finding."""
    return [
        f"{one.code}: {one.where}: {one.detail}. {one.rule.remedy_text} ({one.rule.remedy})"
        for row in agenda.rows
        for one in row.findings
    ]


def dark_lines(agenda: Agenda) -> list[str]:
    """Return what is dark, and what will be if nobody acts, by name, the first day first."""
    return [_dark_line(one, agenda.at) for one in agenda.blackouts]


def _dark_line(one: Blackout, at: datetime) -> str:
    told = {what: _some(getattr(one, what)) for what in ("servers", "clients", "assumed")}
    return render("dark.txt", one=one, at=at, **told).rstrip("\n")


def _sentence(row: Due) -> str:
    day = f"{row.not_after:%Y-%m-%d}"
    if row.status == EARLY:
        return f"{row.label} is not valid before {row.not_before:%Y-%m-%d %H:%M} UTC"
    if row.status == "expired":
        return f"{row.label} ended on {day}"
    return f"{row.label} ends on {day}, in {row.days_left} day{'s' * (row.days_left != 1)}"


def mail(agenda: Agenda) -> str:
    """Return a mail, subject first, about all on which somebody has to act; "" if nobody has."""
    loud = [row for row in agenda.rows if not row.quiet or row.findings]
    if not loud and not agenda.unknown:
        return ""
    lines = {one.thumbprint: _dark_line(one, agenda.at) for one in agenda.blackouts}
    rows = [(r, _sentence(r), _described(r), lines.get(r.thumbprint)) for r in loud]
    statuses = [one.status for one in (*loud, *agenda.unknown)]
    counted = [f"{statuses.count(word)} {word}" for word in _WORST_FIRST if word in statuses]
    first = _sentence(loud[0]) if loud else f"{agenda.unknown[0].label} is unknown"
    first = agenda.clock or first
    told = f"Certificates: {first}" + (f" ({', '.join(counted)})" if counted else "")
    subject = " ".join(told.split())
    return render("mail.txt", subject=subject, rows=rows, unknown=agenda.unknown)


def news(agenda: Agenda, memory: Mapping[str, Mapping[str, str]]) -> tuple[Agenda, Memory]:
    """Return what has crossed a threshold since `memory`, and the memory of having told it.

    Each threshold once; in the last week, and in the week after the end, every day. A certificate
    that was replaced has crossed nothing; a server that answers again is told when it fails again.
    """
    today = f"{agenda.at:%Y-%m-%d}"
    rows = [row for row in agenda.rows if _is_new(row, memory.get(row.fingerprint, {}), today)]
    silent = [one for one in agenda.unknown if one.where not in memory]
    now = {one.where: {"told": "unknown", "on": today} for one in agenda.unknown}
    for row in rows:
        told = "|".join([row.status, *sorted({one.code for one in row.findings})])
        now[row.fingerprint] = {"told": told, "on": today}
    # A certificate that was not met this time, on a server that is down, is not told as new later.
    kept = {key: dict(was) for key, was in memory.items() if was.get("told") != "unknown"}
    return replace(agenda, rows=tuple(rows), unknown=tuple(silent)), {**kept, **now}


def _is_new(row: Due, was: Mapping[str, str], today: str) -> bool:
    """Whether a row says more than what was told of it, or is so near its end that it is daily."""
    status, *codes = was.get("told", "").split("|")
    daily = not row.quiet and abs(row.days_left) <= _DAILY and was.get("on") != today
    worse = not row.quiet and row.status != status
    return daily or worse or any(one.code not in codes for one in row.findings)


def notification_script() -> bytes:
    """Return notify.ps1, the same for every computer: Windows warns there of what ends."""
    events = [r["event"] for r in facts("windows/lifecycle-events") if r["starts_task"] == "Expire"]
    return script(
        "notify",
        TaskName="vmscert-certificates-that-end",  # no colon, slash, backslash: MS-TSCH 2.3.11
        EventSource="vmscert",
        Folder="C:\\Program Files\\vmscert",  # only administrators change there what SYSTEM runs
        Days=str(WARNING),
        StartingEvents=events,
    )


def scheduled_task(program: str, arguments: Sequence[str], log: str) -> bytes:
    """Return schedule.ps1: Windows runs `due` every day; ValueError for what no task can hold."""
    for word in (program, *arguments):
        if word.startswith("\\\\"):
            raise ValueError(f"{word} lies on a share, where a task without a password has no "
                             f"rights: keep it on this computer")  # fmt: skip
        told = f"{word!r} can't go into a task of Windows"
        if "%" in word or "$(" in word:
            raise ValueError(f"{told}, which puts a variable there")
        if '"' in word:
            raise ValueError(f"{told}: no path there has a quote")
    # As the C runtime of Windows reads it back: a backslash counts before a quote.
    tails = [word[len(word.rstrip("\\")) :] for word in arguments]
    words = " ".join(f'"{word}{tail}"' for word, tail in zip(arguments, tails, strict=True))
    what = {"TaskName": "vmscert due", "Program": program, "Arguments": words}
    return script("schedule", **what, Time=f"{_HOUR:02}:00", Log=log)


def crontab(program: str, arguments: Sequence[str], log: str) -> bytes:
    """Return lines for `crontab -e`: quoted for sh, and no % ends the last one (crontab(5))."""
    words = [program, *arguments]
    for word in (*words, log):
        refuse_hiding(word)
    line = f"0 {_HOUR} * * * {shlex.join(words)}".replace("%", "\\%")
    return render("crontab.txt", log=shlex.quote(log), line=line).encode()
