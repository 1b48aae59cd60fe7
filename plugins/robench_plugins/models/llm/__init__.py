"""A language model that re-ranks a retriever's candidates."""
