"""Forms of a report: each module has `document(report)`, a pure function."""
