"""TLS certificates for the XProtect video management system: runbooks, lessons, diagnosis.

What a script needs first is importable from here. What only lessons, practice and notebooks call
stands at the doors of their rooms: `vmscert.lessons`, `vmscert.practice`, `vmscert.notebook`.
"""

from vmscert.door import door

__getattr__, __dir__, __all__ = door(
    "vmscert",
    {
        "agenda.gather": "Agenda",
        "certificates.authority": (
            "QUICK ROOT SERVER Authority Issued Profile create_authority request thumbprint"
        ),
        "certificates.diagnosis": "Diagnosis diagnose",
        "symptoms": "Explanation explain",
        "certificates.words": "anatomy",
        "checks.acceptance": "acceptance dark_links",
        "checks.documents": "Document read read_roots",
        "checks.expiry": "Due due",
        "checks.site": "check_ca check_site",
        "findings": "RULES Finding Rule",
        "network.looks": "Look",
        "network.survey": "Survey survey",
        "network.targets": "read_targets site_targets",
        "network.tls": "Handshake handshake",
        "records.folder": "Records",
        "records.state": "State read_state",
        "runbooks.stages": "open_job",
        "site.site": "Connection Host Site",
        "site.table": "SiteError read_site",
        "windows.inventory": "read_inventory write_inventory",
        "windows.stores": "Stores",
    },
)
