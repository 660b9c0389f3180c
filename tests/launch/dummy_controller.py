"""A controller without a run behind it, over the real bus: answers status and stop requests. `dummy_controller.py RUN_DIR SECONDS CODE`.

Ends with CODE SECONDS after the first question, with 3 when it is asked to stop.
"""

import sys
import time
from pathlib import Path

from protocol.messages import Done, DrainRequest, Reject, StatusReply, StatusRequest, StopRequest
from protocol.router import ControllerSocket
from protocol.security import write_connection_file
from protocol.status import RunStatus, StudyStatus

UNASKED_SECONDS = 60.0


def status(phase: str, elapsed_seconds: float) -> RunStatus:
    """Return a status of a run called dummy."""
    study = StudyStatus(
        study="round-1",
        policy_version=0,
        num_items=8,
        num_scored=4,
        num_invalid=0,
        num_unparsed=0,
        mean_score=0.25,
        score_stderr=0.05,
        unique_share=1.0,
    )
    return RunStatus(
        run_id="dummy",
        phase=phase,
        round=1,
        num_rounds=2,
        policy_version=0,
        started_at=time.time(),
        elapsed_seconds=elapsed_seconds,
        eta_seconds=None,
        items_done=4,
        items_total=16,
        policy_lag=0,
        edits_per_hour=None,
        recent_edits_per_hour=None,
        jobs_waiting={},
        frames_dropped=0,
        agents=(),
        wanted=(),
        studies=(study,),
        problems=(),
        roles=(),
        alarms=(),
    )


def main() -> int:
    """Serve until the time since the first question is up, or somebody asks to stop; return the exit code."""
    run_dir, seconds, code = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    socket = ControllerSocket.bind("tcp://127.0.0.1:0", run_id="dummy", curve=True)
    connection = run_dir / "connection.json"
    write_connection_file(socket.connection, connection)
    began = time.monotonic()
    end = began + UNASKED_SECONDS
    was_asked = False
    try:
        while time.monotonic() < end:
            for peer, message in socket.poll(0.05):
                if isinstance(message, StatusRequest):
                    if not was_asked:
                        was_asked, end = True, time.monotonic() + seconds
                    socket.send(peer, StatusReply(status=status("running", time.monotonic() - began)))
                elif isinstance(message, DrainRequest):
                    socket.send(peer, Done() if message.agent == "trainer-0" else Reject(reason=f"there is no agent {message.agent}"))
                elif isinstance(message, StopRequest):
                    socket.send(peer, Done())
                    (run_dir / "reason").write_text(message.reason)
                    return 3
    finally:
        connection.unlink(missing_ok=True)
        socket.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
