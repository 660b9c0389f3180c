"""Ctrl-C as in a terminal, however pytest was started: what a shell starts in the background ignores it, and so do its children."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
