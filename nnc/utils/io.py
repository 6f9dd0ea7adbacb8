"""Where messages go: the standard output, or Python's `logging` if interactive logging is off."""
import sys

_state = {"interactive": True}


def enable_interactive_logging():
    """Messages and progress bars go to the standard output (the default)."""
    _state["interactive"] = True


def disable_interactive_logging():
    """Messages go to the logger `"nnc"` (level INFO) instead of the standard output."""
    _state["interactive"] = False


def is_interactive_logging_enabled():
    """Whether messages go to the standard output."""
    return _state["interactive"]


def print_message(message, line_break=True):
    """Prints or logs `message`; characters that the output cannot encode are replaced."""
    message = str(message)
    if not _state["interactive"]:
        import logging

        logging.getLogger("nnc").info("%s", message.strip("\n"))
        return
    out = sys.stdout
    if out is None:                                 # pythonw and some services have none
        return
    if line_break:
        message += "\n"
    try:
        out.write(message)
    except UnicodeEncodeError:
        encoding = getattr(out, "encoding", None) or "ascii"
        plain = message.replace("━", "=")
        out.write(plain.encode(encoding, errors="replace").decode(encoding))
    out.flush()
