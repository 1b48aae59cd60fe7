"""What every attack at test time shares: goals, arenas, draws, costs and ensembles."""
