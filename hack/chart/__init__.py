"""The chart's generated parts and its checks: `make chart`, `make check-chart`."""
