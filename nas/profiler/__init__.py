"""From a space and a device to a latency table: probes, rounds of samples, estimates, a fit, the table."""
