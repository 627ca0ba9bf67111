"""A feed before it goes live: counts what its messages hold, and drafts the sender profile that reads them.

Pure counting over messages (`feed`, `fields`, `clock`, `tally`), judgement (`words`), and three ways out: plain data
(`report`), a terminal (`screen`), a sender file (`draft`). Nothing that is kept or printed names a person.
"""
