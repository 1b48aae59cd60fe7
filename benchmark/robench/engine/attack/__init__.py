"""Holds what all surfaces share: goals, budgets, judgements, searches and costs."""
