"""The limits of a fit, which the plan reads without torch."""

VALIDATION_USERS = 10_000  # the largest number of users to validate on, for a model without a training loop
