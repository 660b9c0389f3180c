"""vLLM in a process of its own, by its AsyncLLM: an event loop on a thread of its own hands parts over and collects what comes back.

Invariants: the thread that starts vLLM's process lives until that process is gone (the kernel kills the child when its parent's thread
ends, see `vllm_child`); no wait is without a deadline; once the process is dead, every method raises EngineDiedError.
"""

import asyncio
import contextlib
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from seal_runtime.engines import vllm_child
from seal_runtime.engines.vllm_driver import Part, PartEnd, sampling_params
from seal_runtime.errors import EngineDiedError

_T = TypeVar("_T")
_START_SECONDS = 3600.0
_CALL_SECONDS = 900.0
"""Longest time for a call beside generation; a reload of large weights from a slow disk takes minutes."""
_LOOK_SECONDS = 0.5
_ASK_SECONDS = 1.0
"""How often vLLM's process is asked for a sign of life while parts are at work and none ends."""
_SILENT_SECONDS = 3.0
"""Without an answer for so long it may be hung: `step` waits on then, so that the age of the agent's step tells of it."""
_RESET_SECONDS = 10.0
"""Longest time until the last step of requests that were aborted is over."""
_RESET_POLL_SECONDS = 0.02
_SHUTDOWN_SECONDS = 1.0
_JOIN_SECONDS = 10.0


class AsyncDriver:
    """Runs an AsyncLLM. `make` is called on the loop's thread, where the child process is started."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._error_file = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as this object)
        vllm_child.announce(self._error_file)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm-loop", daemon=True)
        self._thread.start()
        self._ends: queue.SimpleQueue[tuple[int, PartEnd] | EngineDiedError] = queue.SimpleQueue()
        self._serials: dict[str, int] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._num_added = 0
        self._is_closed = False
        self._question: Future[bool] | None = None
        self._asked_at = 0.0
        self._llm: Any = None
        try:
            self._llm = self._wait(asyncio.run_coroutine_threadsafe(_call(make), self._loop), _START_SECONDS)
        except BaseException as error:
            reason = vllm_child.last_error(self._error_file)
            self.close()
            if reason and isinstance(error, Exception):
                raise RuntimeError(reason) from error
            raise

    @property
    def model_config(self) -> Any:
        """Return vLLM's ModelConfig."""
        return self._llm.model_config

    @property
    def num_parts(self) -> int:
        """Return how many parts are at work."""
        return len(self._serials)

    def add(self, parts: Sequence[Part]) -> None:
        """Hand parts over. What is wrong with one comes back from `step`."""
        self._check()
        prepared = [(part, sampling_params(part)) for part in parts]
        for part, params in prepared:
            self._num_added += 1
            self._serials[part.name] = self._num_added
            self._loop.call_soon_threadsafe(self._begin, self._num_added, part, params)

    def step(self, timeout_seconds: float) -> list[PartEnd]:
        """Wait for the next part to end and return all that have; longer than asked for while vLLM's process shows no sign of life."""
        ended: list[PartEnd] = []
        deadline = time.monotonic() + timeout_seconds
        while self._serials and not ended:
            self._check()
            left = deadline - time.monotonic()
            if left <= 0:
                self._wait_for_sign_of_life()
                left = 0.0
                if self._ends.empty():
                    break
            try:
                ended += self._taken(self._ends.get(timeout=min(left, _LOOK_SECONDS)))
                while True:
                    ended += self._taken(self._ends.get_nowait())
            except queue.Empty:
                continue
        return ended

    def abort(self, names: Sequence[str]) -> None:
        """Drop parts."""
        serials = [self._serials.pop(name) for name in names if name in self._serials]
        self._loop.call_soon_threadsafe(self._cancel, serials)

    def add_lora(self, lora: Any) -> bool:
        """Load an adapter."""
        return bool(self._rpc(lambda llm: llm.add_lora(lora)))

    def remove_lora(self, lora_id: int) -> None:
        """Unload an adapter."""
        self._rpc(lambda llm: llm.remove_lora(lora_id))

    def reload_weights(self, folder: str) -> None:
        """Serve other weights."""
        self._rpc(lambda llm: llm.collective_rpc("reload_weights", kwargs={"weights_path": folder}))
        deadline = time.monotonic() + _RESET_SECONDS
        while not self._rpc(lambda llm: llm.reset_prefix_cache()):
            if time.monotonic() > deadline:
                raise RuntimeError("vLLM did not forget its cached prefixes, which are those of other weights")
            time.sleep(_RESET_POLL_SECONDS)

    def close(self) -> None:
        """End vLLM's process and the loop. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._serials.clear()
        if self._llm is not None:
            self._llm.shutdown(timeout=_SHUTDOWN_SECONDS)
            with contextlib.suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(_end_tasks(), self._loop).result(timeout=_JOIN_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._llm is not None:  # else the thread may be loading the model still, which the end of this process ends
            self._thread.join(_JOIN_SECONDS)
        self._error_file.close()

    def _wait_for_sign_of_life(self) -> None:
        """Return when vLLM's process answers, or a part has ended. People read this name in the stack of an agent that is stuck."""
        while self._is_silent() and self._ends.empty():
            self._check()
            time.sleep(_LOOK_SECONDS)

    def _is_silent(self) -> bool:
        """Ask vLLM's process something now and then; say whether it has owed an answer for long. Raises EngineDiedError at last."""
        now = time.monotonic()
        if self._question is None or self._question.done():
            if now >= self._asked_at + _ASK_SECONDS:
                self._asked_at = now
                self._question = asyncio.run_coroutine_threadsafe(self._llm.is_sleeping(), self._loop)
            return False
        if now > self._asked_at + _CALL_SECONDS:
            raise EngineDiedError(f"vLLM's process gave no sign of life for {_CALL_SECONDS:g} s")
        return now > self._asked_at + _SILENT_SECONDS

    def _begin(self, serial: int, part: Part, params: Any) -> None:
        self._tasks[serial] = self._loop.create_task(self._generate(serial, part, params))

    def _cancel(self, serials: Sequence[int]) -> None:
        for serial in serials:
            task = self._tasks.get(serial)
            if task is not None:
                task.cancel()

    async def _generate(self, serial: int, part: Part, params: Any) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        prompt = {"prompt_token_ids": part.prompt_ids}
        try:
            # The serial, not the name: a part that was aborted and added again is another request to vLLM.
            async for output in self._llm.generate(prompt, params, str(serial), lora_request=part.lora):
                if output.finished:
                    self._ends.put((serial, PartEnd(name=part.name, output=output)))
        except EngineDeadError as error:
            self._ends.put(EngineDiedError(self._reason(error)))
        except Exception as error:  # becomes the failure of the part's request
            refusal = f"vLLM refused a request: {' '.join(str(error.__cause__ or error).split())[:300]}"
            self._ends.put((serial, PartEnd(name=part.name, output=None, refusal=refusal)))
        finally:
            del self._tasks[serial]

    def _taken(self, entry: tuple[int, PartEnd] | EngineDiedError) -> list[PartEnd]:
        """Return what a queue entry says of a part that is still wanted. Raises EngineDiedError."""
        if isinstance(entry, EngineDiedError):
            raise entry
        serial, end = entry
        if self._serials.get(end.name) != serial:
            return []
        del self._serials[end.name]
        return [end]

    def _rpc(self, call: Callable[[Any], Coroutine[Any, Any, _T]]) -> _T:
        """Have the loop call vLLM. Raises RuntimeError with vLLM's reason when it refuses."""
        from vllm.v1.engine.exceptions import EngineDeadError

        self._check()
        try:
            return self._wait(asyncio.run_coroutine_threadsafe(call(self._llm), self._loop), _CALL_SECONDS)
        except EngineDeadError as error:
            raise EngineDiedError(self._reason(error)) from error
        except EngineDiedError:
            raise
        except Exception as error:  # vLLM wraps what its process raised in plain Exceptions
            raise RuntimeError(str(error)) from error

    def _wait(self, future: "Future[_T]", seconds: float) -> _T:
        """Return a call's result. vLLM leaves some calls without an answer when its process dies, so look at that too."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return future.result(timeout=_LOOK_SECONDS)
            except TimeoutError:
                if future.done():
                    raise
                if time.monotonic() > deadline:
                    raise EngineDiedError(f"vLLM's process did not answer within {seconds:g} s") from None
                if self._llm is not None:
                    self._check()

    def _check(self) -> None:
        if self._is_closed or self._llm.errored:
            raise EngineDiedError(self._reason(None))

    def _reason(self, error: Exception | None) -> str:
        found = "" if self._is_closed else vllm_child.last_error(self._error_file)
        return f"vLLM's process is gone: {found or error or 'it was killed, or the memory ran out'}"


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _call(make: Callable[[], _T]) -> _T:
    return make()
