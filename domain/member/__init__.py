"""The member half of the domain: what the visits of all source patients of one member add up to
(docs/semantics.md#the-member-stage). The folds are in `row`, the verdicts in `candidates`."""
