"""HTTP on a port that strangers may reach: limits, time-outs, and which addresses are local.

What both the health endpoints and a webhook need enters here. No endpoint of either does.
"""
