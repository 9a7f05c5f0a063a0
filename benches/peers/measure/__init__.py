"""What compare.py measures: `peers` says what there is, one module each says how a thing is measured, `report` writes."""
