"""Allow `python -m seal_runtime.cli`."""

from seal_runtime.cli import main

if __name__ == "__main__":
    main()
