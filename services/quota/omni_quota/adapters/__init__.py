"""Quota's hands: JetStream and Prometheus."""
