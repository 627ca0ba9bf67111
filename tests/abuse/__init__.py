"""What was tried against the live system and gave way once: each stays tried."""
