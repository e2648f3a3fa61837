"""Reports: a run, or several side by side, as one HTML file that needs no network, no script and no library."""

from nas.report.report import FILE, attempt_report, have_report, write_comparison, write_report

__all__ = ["FILE", "attempt_report", "have_report", "write_comparison", "write_report"]
