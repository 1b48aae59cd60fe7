"""Everything that all surfaces share: goals, budgets, judgements, searches and costs."""
