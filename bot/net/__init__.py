"""HTTP on a port that strangers can reach: limits and timeouts.

What both the health endpoints and a webhook need enters here. No endpoint of either does.
"""
