"""An adapter's journey as the agent sees it: what to send next, what to do with the answer. No sockets, no threads, no clock.

Ask `next_request(now)` for a message to send (None: wait) and `feed` every BlobChunk, BlobAck or BlobError of the adapter's SHA-256,
until `done` or `failure`. One request is under way at a time; one that stays unanswered is repeated (messages are lost when the
controller restarts), and a bounded number of repetitions without progress is a failure.
"""

from pathlib import Path

from protocol.errors import TransferError
from protocol.messages import BlobAck, BlobChunk, BlobError, BlobGet
from protocol.schema import MAX_CHUNK_BYTES
from protocol.transfer import ADAPTER_FILES, CONFIG_FILE, MAX_ADAPTER_BYTES, BlobAssembler, read_chunk

RETRY_SECONDS = 10.0
MAX_TRIES = 6


class _Turns:
    """Who speaks next, and how often in vain."""

    def __init__(self, sha256: str, retry_seconds: float, max_tries: int) -> None:
        self._sha256 = sha256
        self._retry_seconds = retry_seconds
        self._max_tries = max_tries
        self._tries = 0
        self._retry_at: float | None = None

    def may_send(self, now: float) -> bool:
        """Say whether a request is due, and count it. Raises TransferError when too many were in vain."""
        if self._retry_at is not None and now < self._retry_at:
            return False
        if self._tries >= self._max_tries:
            raise TransferError(f"adapter {self._sha256[:12]} does not get on: {self._tries} requests without progress")
        self._tries += 1
        self._retry_at = now + self._retry_seconds
        return True

    def answered(self, *, progress: bool) -> None:
        """Note an answer: the next request may go at once."""
        self._retry_at = None
        if progress:
            self._tries = 0


class AdapterDownload:
    """Fetch an adapter from the controller into `staging_dir`; resumes what lies there."""

    def __init__(
        self,
        staging_dir: Path,
        sha256: str,
        *,
        chunk_bytes: int = MAX_CHUNK_BYTES,
        max_bytes: int = MAX_ADAPTER_BYTES,
        retry_seconds: float = RETRY_SECONDS,
        max_tries: int = MAX_TRIES,
    ) -> None:
        """Raise TransferError when the folder cannot be used."""
        self.sha256 = sha256
        self.staging_dir = staging_dir
        self.failure = ""
        self._assembler = BlobAssembler(staging_dir, sha256, max_bytes)
        self._chunk_bytes = chunk_bytes
        self._turns = _Turns(sha256, retry_seconds, max_tries)

    @property
    def done(self) -> bool:
        """Say whether the adapter is whole in `staging_dir` and its SHA-256 checked."""
        return self._assembler.complete

    def next_request(self, now: float) -> BlobGet | None:
        """Return the message to send now, None while an answer is awaited or nothing more is to do."""
        try:
            if self.done or self.failure or not self._turns.may_send(now):
                return None
        except TransferError as error:
            self.failure = str(error)
            return None
        file, offset = self._assembler.next_part()
        return BlobGet(sha256=self.sha256, file=file, offset=offset, length=self._chunk_bytes)

    def feed(self, message: BlobChunk | BlobError) -> None:
        """Take an answer; messages of other adapters are ignored."""
        if message.sha256 != self.sha256 or self.done or self.failure:
            return
        if isinstance(message, BlobError):
            self.failure = message.reason
            return
        before = self._assembler.next_part()
        try:
            self._assembler.accept(message)
        except TransferError as error:
            self.failure = str(error)
            return
        self._turns.answered(progress=self._assembler.next_part() != before)


class AdapterUpload:
    """Send an adapter in `folder` to the controller, chunk by chunk, each after the acknowledgement of the one before."""

    def __init__(
        self,
        folder: Path,
        sha256: str,
        *,
        chunk_bytes: int = MAX_CHUNK_BYTES,
        retry_seconds: float = RETRY_SECONDS,
        max_tries: int = MAX_TRIES,
    ) -> None:
        self.sha256 = sha256
        self.failure = ""
        self.done = False
        self._folder = folder
        self._chunk_bytes = chunk_bytes
        self._file = CONFIG_FILE
        self._offset = 0
        self._file_size = 0
        self._turns = _Turns(sha256, retry_seconds, max_tries)

    def next_request(self, now: float) -> BlobChunk | None:
        """Return the message to send now, None while an answer is awaited or nothing more is to do."""
        try:
            if self.done or self.failure or not self._turns.may_send(now):
                return None
            chunk = read_chunk(self._folder, self.sha256, self._file, self._offset, self._chunk_bytes)
        except TransferError as error:
            self.failure = str(error)
            return None
        self._file_size = chunk.file_size
        return chunk

    def feed(self, message: BlobAck | BlobError) -> None:
        """Take an answer; answers to other adapters, or to a file that is through, are ignored."""
        if message.sha256 != self.sha256 or self.done or self.failure:
            return
        if isinstance(message, BlobError):
            self.failure = message.reason
            return
        if message.complete:
            self.done = True
            return
        if message.file != self._file:
            return
        self._turns.answered(progress=message.next_offset > self._offset)
        self._offset = message.next_offset
        if self._offset >= self._file_size:
            # After the last file comes the first again: the receiver started anew in between and has forgotten it.
            self._file, self._offset = ADAPTER_FILES[(ADAPTER_FILES.index(self._file) + 1) % len(ADAPTER_FILES)], 0
