"""Reports: a run, or several side by side, as one HTML file that needs no network, no script and no library."""

from nas.report.report import attempt_report, write_comparison, write_report

__all__ = ["attempt_report", "write_comparison", "write_report"]
