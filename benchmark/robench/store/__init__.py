"""The folder of one suite's results, its records and their provenance."""
