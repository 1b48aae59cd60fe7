"""The host's side of an experiment: preparing data, fitting victims, attacking and ranking them."""
