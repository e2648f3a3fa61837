"""Reports: a run, several side by side, or a training, as one HTML file without network, script or library."""

from nas.report.report import FILE, attempt_report, have_report, write_comparison, write_report, write_training_report

__all__ = ["FILE", "attempt_report", "have_report", "write_comparison", "write_report", "write_training_report"]
