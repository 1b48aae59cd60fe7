"""A hosted language model that reranks the candidates of a retriever."""
