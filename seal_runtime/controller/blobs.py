"""The controller's side of adapter transfers: serves the run's store in chunks and takes uploads into it.

Invariant: an uploaded adapter is published only when its bytes have the SHA-256 that names it; unfinished ones lie under a staging
name. Nothing outside the store's folder is opened, whatever a message says.
"""

import shutil
import time
from pathlib import Path

from protocol.errors import TransferError
from protocol.messages import BlobAck, BlobChunk, BlobError, BlobGet
from protocol.transfer import BlobAssembler, is_sha256, read_chunk
from seal_runtime.errors import StoreError
from seal_runtime.store.adapters import AdapterStore

MAX_UPLOADS = 256
"""Uploads under way at once; more agents than that wait for their turn."""
IDLE_UPLOAD_SECONDS = 300.0
UPLOAD_PREFIX = ".upload-"


class BlobServer:
    """Answers BlobGet and BlobChunk."""

    def __init__(self, store: AdapterStore) -> None:
        self._store = store
        self._uploads: dict[str, tuple[BlobAssembler, float]] = {}

    def get(self, request: BlobGet) -> BlobChunk | BlobError:
        """Return the bytes that an agent asks for, or why it cannot have them."""
        try:
            folder = self._store.path(request.sha256)
            return read_chunk(folder, request.sha256, request.file, request.offset, request.length)
        except (TransferError, StoreError) as error:
            return BlobError(sha256=request.sha256, reason=str(error))

    def put(self, chunk: BlobChunk) -> BlobAck | BlobError | None:
        """Take bytes of an adapter; the answer to the last of them says that the adapter is whole and in the store.

        None when too many uploads are under way: without an answer the agent asks again after a while.
        """
        if self._store.has(chunk.sha256):
            return BlobAck(sha256=chunk.sha256, file=chunk.file, next_offset=chunk.file_size, complete=True)
        try:
            assembler = self._assembler(chunk.sha256)
            if assembler is None:
                return None
            answer = assembler.accept(chunk)
            if answer.complete:
                del self._uploads[chunk.sha256]
                self._store.publish(self._staging(chunk.sha256))
            return answer
        except (TransferError, StoreError) as error:
            self._drop(chunk.sha256)
            return BlobError(sha256=chunk.sha256, reason=str(error))

    def close(self) -> None:
        """Throw away what is unfinished, also what controllers before this one began and nobody took up again."""
        self._uploads.clear()
        for folder in self._store.root.glob(f"{UPLOAD_PREFIX}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _assembler(self, sha256: str) -> BlobAssembler | None:
        now = time.monotonic()
        for other, (_, used_at) in list(self._uploads.items()):
            if now - used_at > IDLE_UPLOAD_SECONDS:
                self._drop(other)
        if sha256 not in self._uploads:
            if len(self._uploads) >= MAX_UPLOADS:
                return None
            self._uploads[sha256] = BlobAssembler(self._staging(sha256), sha256), now
        assembler, _ = self._uploads[sha256]
        self._uploads[sha256] = assembler, now
        return assembler

    def _drop(self, sha256: str) -> None:
        self._uploads.pop(sha256, None)
        if is_sha256(sha256):
            shutil.rmtree(self._staging(sha256), ignore_errors=True)

    def _staging(self, sha256: str) -> Path:
        return self._store.path(sha256).with_name(UPLOAD_PREFIX + sha256)
