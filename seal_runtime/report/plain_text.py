"""Make model output fit for people: no control characters, the asking line of a prompt, durations and sizes in words."""

from protocol.prompts import split_system

_MAX_REQUEST_CHARS = 120


def printable(text: str) -> str:
    """Return text without control characters (an edit must not steer the terminal or the page); newlines and tabs stay."""
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)


def short_question(prompt: str) -> str:
    """Return the line of an examination prompt that asks: without the instruction around it and without the answer's cue.

    A request that its instructions stand apart from is shown whole, on one line, as far as it is short.
    """
    instructions, request = split_system(prompt)
    if instructions:
        whole = " ".join(printable(request).split())
        return whole if len(whole) <= _MAX_REQUEST_CHARS else whole[: _MAX_REQUEST_CHARS - 1] + "…"
    lines = [line.strip() for line in printable(prompt).splitlines() if line.strip()]
    if len(lines) > 1 and lines[-1].endswith(":"):
        lines = lines[:-1]
    asking = [line for line in lines if line.endswith("?")] or lines[-1:]
    return asking[-1].removeprefix("Question:").strip() if asking else ""


def format_duration(seconds: float) -> str:
    """Return `41 s`, `1 min 32 s` or `5 h 07 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_bytes(num_bytes: int) -> str:
    """Return `812 B`, `1.9 MB` (decimal units)."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
