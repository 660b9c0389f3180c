"""Adapters in chunks: nothing incomplete, damaged or out of place passes."""

import dataclasses
import hashlib
import os
import zlib
from pathlib import Path

import pytest

from protocol.errors import TransferError
from protocol.messages import BlobAck, BlobChunk, BlobError, BlobGet
from protocol.schema import MAX_CHUNK_BYTES
from protocol.transfer import CONFIG_FILE, TENSOR_FILE, BlobAssembler, adapter_sha256, read_chunk
from protocol.transfer_drivers import AdapterDownload, AdapterUpload

CHUNK_BYTES = 4096


def download(source: Path, target: Path, *, max_steps: int = 100) -> AdapterDownload:
    """Run a download to its end and return it."""
    driver = AdapterDownload(target, adapter_sha256(source), chunk_bytes=CHUNK_BYTES)
    for step in range(max_steps):
        request = driver.next_request(float(step))
        if request is None:
            break
        driver.feed(serve(source, request))
    return driver


def serve(source: Path, request: BlobGet) -> BlobChunk:
    return read_chunk(source, request.sha256, request.file, request.offset, request.length)


def same_files(left: Path, right: Path) -> bool:
    return all((left / name).read_bytes() == (right / name).read_bytes() for name in (CONFIG_FILE, TENSOR_FILE))


def test_the_name_of_an_adapter_covers_names_lengths_and_bytes(adapter_dir: Path) -> None:
    tensors = (adapter_dir / TENSOR_FILE).read_bytes()
    expected = hashlib.sha256(b"adapter_config.json\x003\x00{ }adapter_model.safetensors\x0010000\x00" + tensors).hexdigest()
    assert adapter_sha256(adapter_dir) == expected
    (adapter_dir / TENSOR_FILE).unlink()
    with pytest.raises(TransferError, match="No such file"):
        adapter_sha256(adapter_dir)


def test_a_download_gives_the_same_files(adapter_dir: Path, tmp_path: Path) -> None:
    driver = download(adapter_dir, tmp_path / "staging")
    assert driver.done
    assert not driver.failure
    assert same_files(adapter_dir, tmp_path / "staging")
    assert driver.next_request(1000.0) is None


def test_a_download_resumes_what_lies_in_its_folder(adapter_dir: Path, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    sha256 = adapter_sha256(adapter_dir)
    first = AdapterDownload(staging, sha256, chunk_bytes=CHUNK_BYTES)
    for step in range(2):
        request = first.next_request(float(step))
        assert request is not None
        first.feed(serve(adapter_dir, request))
    second = AdapterDownload(staging, sha256, chunk_bytes=CHUNK_BYTES)
    asked = []
    while (request := second.next_request(0.0)) is not None:
        asked.append((request.file, request.offset))
        second.feed(serve(adapter_dir, request))
    assert asked == [(CONFIG_FILE, 3), (TENSOR_FILE, 4096), (TENSOR_FILE, 8192)]
    assert second.done
    third = download(adapter_dir, staging)
    assert third.done, "also when everything was there"


def test_a_lost_request_is_repeated_and_too_many_in_vain_are_a_failure(adapter_dir: Path, tmp_path: Path) -> None:
    driver = AdapterDownload(tmp_path / "staging", adapter_sha256(adapter_dir), retry_seconds=10.0, max_tries=3)
    first = driver.next_request(0.0)
    assert first is not None
    assert driver.next_request(9.0) is None
    assert driver.next_request(10.0) == first
    assert driver.next_request(20.0) == first
    assert driver.next_request(30.0) is None
    assert "3 requests without progress" in driver.failure


def test_a_damaged_chunk_is_asked_for_again_and_always_damaged_is_a_failure(adapter_dir: Path, tmp_path: Path) -> None:
    driver = AdapterDownload(tmp_path / "staging", adapter_sha256(adapter_dir), max_tries=3)
    requests = []
    while (request := driver.next_request(0.0)) is not None:
        requests.append(request)
        driver.feed(dataclasses.replace(serve(adapter_dir, request), data=b"{!}"))
    assert requests == [requests[0]] * 3
    assert "without progress" in driver.failure
    assert not (tmp_path / "staging" / CONFIG_FILE).exists()


def test_bytes_of_another_adapter_are_thrown_away(adapter_dir: Path, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    wanted = "0" * 64
    driver = AdapterDownload(staging, wanted)
    while (request := driver.next_request(0.0)) is not None:
        driver.feed(serve(adapter_dir, request))
    assert f"expected {wanted[:12]}" in driver.failure
    assert not driver.done
    assert list(staging.iterdir()) == []


def test_answers_of_other_adapters_are_ignored_and_an_error_ends_it(adapter_dir: Path, tmp_path: Path) -> None:
    driver = AdapterDownload(tmp_path / "staging", "1" * 64)
    driver.feed(BlobError(sha256="2" * 64, reason="not yours"))
    driver.feed(read_chunk(adapter_dir, "2" * 64, CONFIG_FILE, 0, 10))
    reasons = [driver.failure]
    driver.feed(BlobError(sha256="1" * 64, reason="not here"))
    assert [*reasons, driver.failure] == ["", "not here"]


def test_an_upload_goes_through_in_order(adapter_dir: Path, tmp_path: Path) -> None:
    sha256 = adapter_sha256(adapter_dir)
    upload = AdapterUpload(adapter_dir, sha256, chunk_bytes=CHUNK_BYTES)
    assembler = BlobAssembler(tmp_path / "staging", sha256)
    sent = []
    while (chunk := upload.next_request(0.0)) is not None:
        sent.append((chunk.file, chunk.offset))
        upload.feed(assembler.accept(chunk))
    assert upload.done
    assert assembler.complete
    assert sent == [(CONFIG_FILE, 0), (TENSOR_FILE, 0), (TENSOR_FILE, 4096), (TENSOR_FILE, 8192)]
    assert same_files(adapter_dir, tmp_path / "staging")


@pytest.mark.parametrize("num_before", range(6))
def test_an_upload_continues_where_the_receiver_is(adapter_dir: Path, tmp_path: Path, num_before: int) -> None:
    sha256 = adapter_sha256(adapter_dir)
    earlier = AdapterUpload(adapter_dir, sha256, chunk_bytes=CHUNK_BYTES)
    before = BlobAssembler(tmp_path / "staging", sha256)
    for _ in range(num_before):
        chunk = earlier.next_request(0.0)
        if chunk is not None:
            earlier.feed(before.accept(chunk))
    upload = AdapterUpload(adapter_dir, sha256, chunk_bytes=CHUNK_BYTES)
    after = BlobAssembler(tmp_path / "staging", sha256)
    while (chunk := upload.next_request(0.0)) is not None:
        upload.feed(after.accept(chunk))
    assert upload.done, upload.failure
    assert same_files(adapter_dir, tmp_path / "staging")


@pytest.mark.parametrize("num_before", [1, 2, 3])
@pytest.mark.parametrize("keeps_its_folder", [True, False])
def test_an_upload_survives_a_receiver_that_starts_anew(adapter_dir: Path, tmp_path: Path, num_before: int, keeps_its_folder: bool) -> None:
    sha256 = adapter_sha256(adapter_dir)
    upload = AdapterUpload(adapter_dir, sha256, chunk_bytes=CHUNK_BYTES)
    assembler = BlobAssembler(tmp_path / "first", sha256)
    for step in range(20):
        if step == num_before:
            assembler = BlobAssembler(tmp_path / ("first" if keeps_its_folder else "second"), sha256)
        chunk = upload.next_request(0.0)
        if chunk is None:
            break
        upload.feed(assembler.accept(chunk))
    assert upload.done, upload.failure
    assert same_files(adapter_dir, tmp_path / ("first" if keeps_its_folder else "second"))


def test_doubled_early_and_damaged_chunks_change_nothing(adapter_dir: Path, tmp_path: Path) -> None:
    sha256 = adapter_sha256(adapter_dir)
    assembler = BlobAssembler(tmp_path / "staging", sha256)
    first, second = (read_chunk(adapter_dir, sha256, TENSOR_FILE, offset, 100) for offset in (0, 100))
    assert assembler.accept(second).next_offset == 0
    assert assembler.accept(dataclasses.replace(first, crc32=first.crc32 ^ 1)).next_offset == 0
    assert assembler.accept(first).next_offset == 100
    assert assembler.accept(first).next_offset == 100
    assert assembler.accept(second) == BlobAck(sha256=sha256, file=TENSOR_FILE, next_offset=200, complete=False)
    assert assembler.chunks_refused == 3
    assert (tmp_path / "staging" / TENSOR_FILE).read_bytes() == first.data + second.data


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "..", "", "adapter_config.json/../../secret", "adapter_config.json\0", "weights.bin"]
)
def test_no_name_leads_out_of_the_folder(adapter_dir: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(TransferError, match="got file name"):
        read_chunk(adapter_dir, "0" * 64, name, 0, 10)
    chunk = BlobChunk(sha256="0" * 64, file=name, offset=0, file_size=1, crc32=zlib.crc32(b"x"), data=b"x")
    with pytest.raises(TransferError, match="got file name"):
        BlobAssembler(tmp_path / "staging", "0" * 64).accept(chunk)
    with pytest.raises(TransferError, match="SHA-256"):
        BlobAssembler(tmp_path / "staging", name)
    assert (tmp_path / "secret").read_text() == "secret"


def test_links_are_not_followed(adapter_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sec")
    staging = tmp_path / "staging"
    staging.mkdir()
    os.symlink(tmp_path / "secret", staging / CONFIG_FILE)
    with pytest.raises(TransferError):
        read_chunk(staging, "0" * 64, CONFIG_FILE, 0, 10)
    assembler = BlobAssembler(staging, "0" * 64)
    offset = (staging / CONFIG_FILE).lstat().st_size
    chunk = BlobChunk(sha256="0" * 64, file=CONFIG_FILE, offset=offset, file_size=offset + 1, crc32=zlib.crc32(b"x"), data=b"x")
    with pytest.raises(TransferError, match="cannot write"):
        assembler.accept(chunk)
    assert (tmp_path / "secret").read_text() == "sec"


def test_sizes_are_checked(adapter_dir: Path, tmp_path: Path) -> None:
    sha256 = adapter_sha256(adapter_dir)
    chunk = read_chunk(adapter_dir, sha256, TENSOR_FILE, 0, 100)
    with pytest.raises(TransferError, match="the limit of this store"):
        BlobAssembler(tmp_path / "a", sha256, max_bytes=9_999).accept(chunk)
    with pytest.raises(TransferError, match="does not fit"):
        BlobAssembler(tmp_path / "b", sha256).accept(dataclasses.replace(chunk, file_size=99))
    assembler = BlobAssembler(tmp_path / "c", sha256)
    assembler.accept(chunk)
    with pytest.raises(TransferError, match="changed its size"):
        assembler.accept(dataclasses.replace(chunk, file_size=20_000))
    with pytest.raises(TransferError, match="expected chunks of adapter"):
        assembler.accept(dataclasses.replace(chunk, sha256="0" * 64))


def test_reading_is_bounded_by_the_file_and_the_chunk_size(adapter_dir: Path) -> None:
    (adapter_dir / TENSOR_FILE).write_bytes(b"\0" * (MAX_CHUNK_BYTES + 5))
    assert len(read_chunk(adapter_dir, "0" * 64, TENSOR_FILE, 0, 1 << 60).data) == MAX_CHUNK_BYTES
    assert read_chunk(adapter_dir, "0" * 64, TENSOR_FILE, MAX_CHUNK_BYTES, 1 << 60).data == b"\0" * 5
    assert read_chunk(adapter_dir, "0" * 64, TENSOR_FILE, MAX_CHUNK_BYTES + 5, 1).data == b""
    for offset, length in [(MAX_CHUNK_BYTES + 6, 1), (-1, 1), (0, 0), (1 << 62, 1)]:
        with pytest.raises(TransferError):
            read_chunk(adapter_dir, "0" * 64, TENSOR_FILE, offset, length)


def test_a_folder_that_cannot_be_written_is_a_clear_error(adapter_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TransferError, match="cannot receive"):
        BlobAssembler(tmp_path / "file" / "staging", "0" * 64)
    upload = AdapterUpload(tmp_path / "nowhere", "0" * 64)
    assert upload.next_request(0.0) is None
    assert "No such file" in upload.failure
