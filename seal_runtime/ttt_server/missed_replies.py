"""Results whose clients had left, kept for those that ask the same again."""

from collections import OrderedDict

_MAX_REPLIES = 256


class MissedReplies:
    """The latest undelivered replies by the key of their requests; each is given out once."""

    def __init__(self) -> None:
        self._replies: OrderedDict[str, bytes] = OrderedDict()

    def put(self, key: str, body: bytes) -> None:
        """Keep a reply; the oldest one goes when there are too many."""
        self._replies[key] = body
        if len(self._replies) > _MAX_REPLIES:
            self._replies.popitem(last=False)

    def take(self, key: str) -> bytes | None:
        """Return the reply that was missed, None when there is none."""
        return self._replies.pop(key, None)
