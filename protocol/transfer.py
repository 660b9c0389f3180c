"""Adapters as bytes: what an adapter's name is, chunks read from its folder, and their assembly on the other side. No sockets.

Invariants: the only files ever opened are the two of ADAPTER_FILES directly inside the folder that the caller gave (no name or path of a
message is followed, no link either); an assembled adapter is complete only when its SHA-256 is the one that names it.
"""

import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from protocol.errors import TransferError
from protocol.messages import BlobAck, BlobChunk
from protocol.schema import MAX_CHUNK_BYTES

CONFIG_FILE = "adapter_config.json"
TENSOR_FILE = "adapter_model.safetensors"
ADAPTER_FILES = (CONFIG_FILE, TENSOR_FILE)
"""The files that make an adapter, in the order in which they are hashed and sent."""
MAX_ADAPTER_BYTES = 8 << 30
"""Default limit of one adapter, both files together."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_sha256(text: str) -> bool:
    """Say whether a text is a SHA-256 in lower-case hexadecimal (and so a safe folder name)."""
    return _SHA256.fullmatch(text) is not None


def adapter_sha256(folder: Path) -> str:
    """Return the SHA-256 that names a PEFT directory: over name, length and bytes of each of ADAPTER_FILES.

    Raises TransferError when a file is missing, unreadable or changes while it is read.
    """
    digest = hashlib.sha256()
    for name in ADAPTER_FILES:
        with _open_adapter_file(folder, name) as stream:
            num_bytes = os.fstat(stream.fileno()).st_size
            digest.update(f"{name}\0{num_bytes}\0".encode())
            while block := stream.read(MAX_CHUNK_BYTES):
                digest.update(block)
                num_bytes -= len(block)
        if num_bytes:
            raise TransferError(f"{folder / name} changed while it was read; an adapter is published only when it is complete")
    return digest.hexdigest()


def read_chunk(folder: Path, sha256: str, file: str, offset: int, length: int) -> BlobChunk:
    """Return at most `length` (and MAX_CHUNK_BYTES) bytes of an adapter's file; no bytes at its end.

    Raises TransferError for any other file name, an offset outside the file, a length below one or an unreadable file.
    """
    if length < 1 or offset < 0:
        raise TransferError(f"expected offset >= 0 and length >= 1, got {offset} and {length}")
    with _open_adapter_file(folder, file) as stream:
        file_size = os.fstat(stream.fileno()).st_size
        if offset > file_size:
            raise TransferError(f"{file} of adapter {sha256[:12]} has {file_size} bytes, asked for byte {offset}; start again from 0")
        stream.seek(offset)
        data = stream.read(min(length, MAX_CHUNK_BYTES))
    return BlobChunk(sha256=sha256, file=file, offset=offset, file_size=file_size, crc32=zlib.crc32(data), data=data)


class BlobAssembler:
    """Writes an adapter into `staging_dir` (made if it is not there) from chunks, file after file, each from front to back.

    A chunk that does not continue the file (sent twice, too far ahead, damaged on the way) changes nothing: the answer says from where
    to go on. A folder that already holds the beginning is continued. What breaks a rule is a TransferError, and the folder of an
    adapter whose SHA-256 is wrong is emptied.
    """

    def __init__(self, staging_dir: Path, sha256: str, max_bytes: int = MAX_ADAPTER_BYTES) -> None:
        if not is_sha256(sha256):
            raise TransferError(f"expected an adapter's SHA-256 (64 hexadecimal digits), got {sha256[:80]!r}")
        self.sha256 = sha256
        self.complete = False
        self.chunks_refused = 0
        self._folder = staging_dir
        self._max_bytes = max_bytes
        self._file_sizes: dict[str, int] = {}
        try:
            staging_dir.mkdir(parents=True, exist_ok=True)
            self._offsets = {name: _size(staging_dir / name) for name in ADAPTER_FILES}
        except OSError as error:
            raise TransferError(f"cannot receive adapter {sha256[:12]} in {staging_dir}: {error.strerror}") from error

    def next_part(self) -> tuple[str, int]:
        """Return the file and the offset that are wanted next (of the last file its end, when all is here)."""
        for name in ADAPTER_FILES:
            if self._offsets[name] != self._file_sizes.get(name):
                return name, self._offsets[name]
        return TENSOR_FILE, self._offsets[TENSOR_FILE]

    def accept(self, chunk: BlobChunk) -> BlobAck:
        """Take a chunk and return the answer for its sender. Raises TransferError when the transfer cannot go on."""
        self._check(chunk)
        if zlib.crc32(chunk.data) != chunk.crc32:
            self.chunks_refused += 1
            return self._answer(chunk.file)
        self._file_sizes[chunk.file] = chunk.file_size
        if chunk.offset != self._offsets[chunk.file]:
            self.chunks_refused += 1
        elif chunk.data or not chunk.file_size:
            self._append(chunk)
        if not self.complete and all(self._offsets[name] == self._file_sizes.get(name) for name in ADAPTER_FILES):
            self._verify()
        return self._answer(chunk.file)

    def _answer(self, file: str) -> BlobAck:
        return BlobAck(sha256=self.sha256, file=file, next_offset=self._offsets[file], complete=self.complete)

    def _check(self, chunk: BlobChunk) -> None:
        if chunk.sha256 != self.sha256:
            raise TransferError(f"expected chunks of adapter {self.sha256[:12]}, got one of {chunk.sha256[:12]}")
        if chunk.file not in ADAPTER_FILES:
            raise TransferError(f"expected {' or '.join(ADAPTER_FILES)}, got file name {chunk.file[:80]!r}")
        if len(chunk.data) > MAX_CHUNK_BYTES or chunk.offset + len(chunk.data) > chunk.file_size:
            raise TransferError(
                f"chunk of {len(chunk.data)} bytes at {chunk.offset} does not fit into {chunk.file} of {chunk.file_size} bytes"
            )
        if chunk.file_size != self._file_sizes.get(chunk.file, chunk.file_size) or self._offsets[chunk.file] > chunk.file_size:
            raise TransferError(f"{chunk.file} of adapter {self.sha256[:12]} changed its size to {chunk.file_size} bytes; start again")
        others = sum(size for name, size in self._file_sizes.items() if name != chunk.file)
        if others + chunk.file_size > self._max_bytes:
            raise TransferError(f"adapter {self.sha256[:12]} has over {self._max_bytes} bytes, the limit of this store")

    def _append(self, chunk: BlobChunk) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._folder / chunk.file, flags, 0o644)
            with os.fdopen(descriptor, "wb") as stream:
                # A write that failed half-way (full disk) may have left bytes behind the offset: cut, then write.
                stream.truncate(chunk.offset)
                stream.seek(chunk.offset)
                stream.write(chunk.data)
        except OSError as error:
            raise TransferError(
                f"cannot write adapter {self.sha256[:12]} to {self._folder}: {error.strerror}; is the disk full?"
            ) from error
        self._offsets[chunk.file] += len(chunk.data)

    def _verify(self) -> None:
        found = adapter_sha256(self._folder)
        if found != self.sha256:
            for name in ADAPTER_FILES:
                (self._folder / name).unlink(missing_ok=True)
                self._offsets[name] = 0
            self._file_sizes.clear()
            raise TransferError(
                f"received bytes have SHA-256 {found[:12]}, expected {self.sha256[:12]}; they were thrown away, transfer again"
            )
        self.complete = True


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def _open_adapter_file(folder: Path, file: str) -> Iterator[BinaryIO]:
    """Open one of ADAPTER_FILES directly in the folder, never through a link."""
    if file not in ADAPTER_FILES:
        raise TransferError(f"expected {' or '.join(ADAPTER_FILES)}, got file name {file[:80]!r}")
    try:
        with os.fdopen(os.open(folder / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
            yield stream
    except OSError as error:
        if isinstance(error, TransferError):
            raise
        raise TransferError(
            f"expected a PEFT adapter with {' and '.join(ADAPTER_FILES)} in {folder}, but {file}: {error.strerror}"
        ) from error
