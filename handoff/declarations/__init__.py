"""Loaders of senders/ and rules/; each reports every fault of every file at once."""
