"""Where the `roost` of a shell begins. Loading it takes a tenth of a second; Ctrl-C may come before that is over."""

import signal


def main() -> None:
    """Load the command and run it. Ctrl-C while it loads ends the process as any other, without a traceback."""
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored, and stays so
    if raises:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from roost_admin.main import main as run

    if raises:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
