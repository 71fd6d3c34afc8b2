"""terminal.py CASE: a program under a terminal of its own, and what is seen there. ./job in this folder is the program."""
import os, pty, signal, sys

SHELL = ["bash", "--norc", "--noprofile", "-i"]
CASES = {
    # The program takes the key as it likes, or dies of it.
    "interrupt": (["./job", "trap"], [("ready", "\x03")]),
    "interrupt_deadly": (["./job"], [("ready", "\x03")]),
    "quit_deadly": (["./job"], [("ready", "\x1c")]),
    # Stopped by the key, continued by the shell.
    "suspend": (SHELL, [("$ ", "./job read\n"), ("ready", "\x1a"), ("Stopped", ""), ("$ ", "fg\n"),
                        ("./job read", "hello\n"), ("got hello", ""), ("$ ", "echo status $?\n"), ("status 6", ""), ("$ ", "exit 3\n")]),
    "hang_up": (["./job", "hup"], [("ready", None)]),
}

signal.alarm(120)  # whatever hangs shall be seen
argv, steps = CASES[sys.argv[1]]
pid, terminal = pty.fork()
if pid == 0:
    os.execvpe(argv[0], argv, {"PATH": os.environ["PATH"], "PS1": "$ ", "TERM": "dumb", "HISTFILE": "", "HOME": "/nonexistent"})
seen, at = b"", 0


def more():
    """Reads what there is; False at the end."""
    global seen
    try:
        data = os.read(terminal, 4096)
    except OSError:
        data = b""
    seen += data
    return bool(data)


for expected, keys in steps:
    while (found := seen.find(expected.encode(), at)) < 0:
        if not more():
            sys.exit(f"the end before {expected!r}: {seen!r}")
    at = found + len(expected)
    if keys is None:
        os.close(terminal)
    elif keys:
        os.write(terminal, keys.encode())
while steps[-1][1] is not None and more():
    pass
status = os.waitpid(pid, 0)[1]
print("status", os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status))
# Whether the line is seen as it is typed depends on who has the terminal at that moment.
print(seen.replace(b"hello\r\n", b""))
