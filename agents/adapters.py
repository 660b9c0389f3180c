"""Adapters between the run's store and the agent's: nothing to do on a shared disk, checked chunks over the bus otherwise.

Invariant: an adapter appears in the agent's store only whole and under the SHA-256 of its bytes; the rest of the agent looks in its own
store and need not know where the run's is.
"""

import shutil
import time
from collections.abc import Callable

import structlog

from protocol.errors import TransferError
from protocol.messages import BlobAck, BlobChunk, BlobError, FromAgent
from protocol.transfer_drivers import AdapterDownload, AdapterUpload
from seal_runtime.errors import StoreError
from seal_runtime.store.adapters import AdapterStore

log = structlog.get_logger()


class AdapterExchange:
    """Fetches and delivers adapters. Ask `fetched` and `delivered` again and again; `tick` and `receive` move things on."""

    def __init__(self, store: AdapterStore, *, send: Callable[[FromAgent], None], is_shared: bool) -> None:
        self.is_shared = is_shared
        self._store = store
        self._send = send
        self._downloads: dict[str, AdapterDownload] = {}
        self._uploads: dict[str, AdapterUpload] = {}
        self._delivered: set[str] = set()

    def fetched(self, sha256: str) -> bool:
        """Say whether an adapter is in the agent's store; begin to fetch it if not.

        Raises TransferError once for each transfer that failed, and StoreError when a shared store lacks the adapter.
        """
        if self._store.has(sha256):
            return True
        if self.is_shared:
            raise StoreError(f"adapter {sha256[:12]} is not in the run's store {self._store.root}; was it deleted by hand?")
        download = self._downloads.get(sha256)
        if download is None:
            self._downloads[sha256] = AdapterDownload(self._store.staging_dir(), sha256)
        elif download.failure:
            self._drop_download(sha256)
            raise TransferError(f"cannot fetch adapter {sha256[:12]} from the controller: {download.failure}")
        return False

    def delivered(self, sha256: str) -> bool:
        """Say whether an adapter of the agent's store is in the run's; begin to send it if not. Raises TransferError as `fetched`."""
        if self.is_shared or sha256 in self._delivered:
            return True
        upload = self._uploads.setdefault(sha256, AdapterUpload(self._store.path(sha256), sha256))
        if upload.failure:
            del self._uploads[sha256]
            raise TransferError(f"cannot send adapter {sha256[:12]} to the controller: {upload.failure}")
        if upload.done:
            del self._uploads[sha256]
            self._delivered.add(sha256)
            log.info("adapter_sent", adapter=sha256)
        return upload.done

    def receive(self, message: BlobChunk | BlobAck | BlobError) -> None:
        """Take an answer of the controller. Answers to transfers that were given up are ignored."""
        download, upload = self._downloads.get(message.sha256), self._uploads.get(message.sha256)
        if download is not None and isinstance(message, BlobChunk | BlobError):
            download.feed(message)
            if download.done:
                self._store_download(download)
        if upload is not None and isinstance(message, BlobAck | BlobError):
            upload.feed(message)

    def tick(self) -> None:
        """Send what is due."""
        now = time.monotonic()
        transfers: list[AdapterDownload | AdapterUpload] = [*self._downloads.values(), *self._uploads.values()]
        for transfer in transfers:
            request = transfer.next_request(now)
            if request is not None:
                self._send(request)

    def discard(self, sha256: str) -> None:
        """Drop the agent's own copy of an adapter that it needs no more. The run's store is the controller's to clean."""
        if not self.is_shared:
            self._delivered.discard(sha256)
            self._uploads.pop(sha256, None)
            self._drop_download(sha256)
            self._store.remove(sha256)

    def close(self) -> None:
        """Leave no half-fetched adapter behind."""
        for sha256 in list(self._downloads):
            self._drop_download(sha256)

    def _store_download(self, download: AdapterDownload) -> None:
        try:
            self._store.publish(download.staging_dir)
        except StoreError as error:
            download.failure = str(error)
            return
        del self._downloads[download.sha256]
        log.info("adapter_fetched", adapter=download.sha256)

    def _drop_download(self, sha256: str) -> None:
        download = self._downloads.pop(sha256, None)
        if download is not None:
            shutil.rmtree(download.staging_dir, ignore_errors=True)
