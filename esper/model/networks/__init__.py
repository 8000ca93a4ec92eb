"""The torch modules of the built-in hosts."""
