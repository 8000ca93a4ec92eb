"""The torch modules that hosts are made of."""
