"""Make model output fit for people: no control characters, the asking line of a prompt, durations and sizes in words."""


def printable(text: str) -> str:
    """Return text without control characters (an edit must not steer the terminal or the page); newlines and tabs stay."""
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)


def short_question(prompt: str) -> str:
    """Return the line of an examination prompt that asks: without the instruction around it and without the answer's cue."""
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
