"""Hosts: plain torch modules, built for the shape of the data."""
