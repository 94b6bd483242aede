"""One file per revision. A revision is never changed after its release."""
