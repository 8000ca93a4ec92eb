"""Clients of servers that may be down."""
