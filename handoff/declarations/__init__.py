"""The files we are told by: senders, rules, topics. Each loader lists every fault of every file at once."""
