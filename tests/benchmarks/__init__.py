"""Steps per second of servers and clients, ours and the official ones: `make bench` (`docs/performance.md`)."""
