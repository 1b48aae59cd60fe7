"""The host's side of attacks at test time: budgets, costs, losses, judgements, and the search for the worst case."""
