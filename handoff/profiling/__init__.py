"""Examine a feed before it goes live: count the content of its messages, and draft the sender profile for them.

Pure counting over messages (`feed`, `fields`, `clock`, `tally`), classification (`words`), and three ways out: plain
data (`report`), a terminal (`show`), a sender file (`draft`). Nothing kept or printed identifies a person.
"""
