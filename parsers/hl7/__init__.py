"""HL7 v2: encoding, framing, acknowledgments and ADT messages.

Used from outside: `adt.read_adt`, `envelope.read_envelope`, `ack.acknowledge`, `mllp.FrameReader`,
`frames.split_frame`, `batch.Splitter`, `profiles.Profiles`. Every refusal code is in `refusals`.
"""
