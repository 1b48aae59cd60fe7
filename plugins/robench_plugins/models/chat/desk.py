"""Answers questions from the cache or by a service."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from robench.api.digest import digest
from robench.pretrained import cached_notes
from robench_plugins.models.chat.messages import Question
from robench_plugins.models.chat.service import Reply, Service

FORMAT = 1  # the version of the cached answers


@dataclass(frozen=True, eq=False)
class Desk:
    """A desk that answers questions and sends each distinct question only once.

    Answers are kept in memory and in the cache on disk, under the content of the question.

    Args:
        service: the service.
        identity: everything except the messages that an answer depends on, as JSON.
        parallel: the maximum number of requests at the same time.
    """

    service: Service
    identity: dict[str, Any]
    parallel: int
    _replies: dict[str, Reply] = field(default_factory=dict)

    def answer(self, questions: Sequence[Question]) -> list[Reply]:
        """Returns the answer to each question.

        Raises:
            ServiceError: if the service fails. The answers before the failure stay in the cache.
        """
        keys = [digest(question.messages, 32) for question in questions]
        new = {key: question for key, question in zip(keys, questions, strict=True) if key not in self._replies}
        if self.parallel == 1 or len(new) <= 1:
            self._replies.update((key, self._answer(question)) for key, question in new.items())
        else:
            with ThreadPoolExecutor(self.parallel) as threads:
                jobs = {key: threads.submit(self._answer, question) for key, question in new.items()}
                try:
                    self._replies.update((key, job.result()) for key, job in jobs.items())
                finally:
                    for job in jobs.values():
                        job.cancel()
        return [self._replies[key] for key in keys]

    def _answer(self, question: Question) -> Reply:
        content = {"format": FORMAT, "messages": question.messages, "schema": question.schema(), **self.identity}
        return Reply(**cached_notes("answers", content, lambda: asdict(self.service.ask(question))))
