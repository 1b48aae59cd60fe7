"""A pretrained language model that re-ranks the candidates of a retriever."""
