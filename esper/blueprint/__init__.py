"""Blueprints: named recipes for small modules, one a file, and the catalogue of them."""
