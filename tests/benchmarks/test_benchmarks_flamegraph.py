"""The flame graph: what perf prints becomes stacks, parts and a drawing."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

import pytest

from benchmarks import docs, flamegraph

SAID = """asgiws\x20
\tffffffff822010c9 _raw_spin_unlock_irqrestore ([kernel.kallsyms])
\tffffffff81e32fbe sock_def_readable ([kernel.kallsyms])
\t           f8350 __GI___libc_write (/usr/lib/x86_64-linux-gnu/libc.so.6)
\t          2c0d62 os_write (/lib/libpython3.11.so.1.0)
\t           24d81 __pyx_f_6asgiws_3net_10connection_10Connection__send (/x/connection.so)
\t           163d1 __pyx_pw_6asgiws_3net_10connection_10Connection_7buffer_updated (/x/connection.so)
\t          130b64 uv_run (/x/loop.cpython-311.so)
\t          130b64 [unknown] (/x/loop.cpython-311.so)
\t          130b64 main (/bin/python3.11)

asgiws\x20
\t          2b78e5 PyUnicode_New (/lib/libpython3.11.so.1.0)
\t          2b78e5 _PyEval_EvalFrameDefault (/lib/libpython3.11.so.1.0)
\t          2b78e5 task_step (/x/_asyncio.cpython-311.so)
\t          130b64 uv_run (/x/loop.cpython-311.so)

asgiws\x20
\t          130b64 main (/bin/python3.11)
"""


def test_stacks_begin_where_the_loop_runs():
    stacks = flamegraph.parse(SAID.splitlines())
    assert [[name for name, _ in stack] for stack in stacks] == [
        [
            "uv_run",
            "asgiws.net.connection.Connection.buffer_updated",
            "asgiws.net.connection.Connection._send",
            "os_write",
            "__GI___libc_write",
            "kernel",
        ],
        ["uv_run", "task_step", "_PyEval_EvalFrameDefault", "PyUnicode_New"],
    ]


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("uv__read", "uv__read"),
        ("__pyx_f_6asgiws_6bridge_6wakeup_6Waiter_wake", "asgiws.bridge.wakeup.Waiter.wake"),
        ("__pyx_f_6uvloop_4loop_run_in_context1", "uvloop.loop.run_in_context1"),
        ("__pyx_pw_6asgiws_6bridge_6wakeup_3go", "asgiws.bridge.wakeup.go"),
    ],
)
def test_functions_of_cython_are_named_as_in_python(symbol, name):
    assert flamegraph.readable(symbol) == name


LOOP = ("uv_run", "loop.cpython-311.so")
SEND = ("asgiws.net.sending.Sending._send", "sending.cpython-311.so")
WRITE = ("__GI___libc_write", "libc.so.6")
KERNEL = ("kernel", "kernel")


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        ((LOOP, SEND, WRITE, KERNEL), "system call: write"),
        ((LOOP, SEND, ("PyBytes_New", "libpython3.11.so")), "asgiws: sockets, gathering writes"),
        ((LOOP, KERNEL), "system calls: others"),
        ((("main", "python3.11"),), "the rest"),
    ],
)
def test_a_sample_counts_for_its_innermost_part(stack, part):
    assert flamegraph.part_of(stack) == part


def test_parts_share_the_time_of_a_message():
    stacks = Counter({(LOOP, SEND, WRITE): 3, (LOOP, SEND): 1})
    assert flamegraph.parts(stacks, 8.0) == [
        ["part", "share", "CPU µs/message"],
        ["system call: write", "75.0%", "6.00"],
        ["asgiws: sockets, gathering writes", "25.0%", "2.00"],
        ["all", "100.0%", "8.00"],
    ]


def test_the_drawing_has_a_box_as_wide_as_its_share():
    drawing = flamegraph.draw(Counter({(LOOP, SEND): 3, (LOOP, WRITE): 1}), "a <title>")
    root = ElementTree.fromstring(drawing)
    space = "{http://www.w3.org/2000/svg}"
    widths = {
        box.find(f"{space}title").text.partition(":")[0]: box.find(f"{space}rect").get("width")  # type: ignore[union-attr]
        for box in root.iter(f"{space}g")
    }
    assert widths == {
        "all": "1199.5",
        "uv_run": "1199.5",
        SEND[0]: "899.5",
        WRITE[0]: "299.5",
    }
    assert "a &lt;title&gt;" in drawing


def test_what_cannot_be_done_is_one_line(capsys, monkeypatch):
    assert flamegraph.main(["--scenario", "nothing"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_our_page_has_the_block():
    page = docs.PAGE.read_text()
    assert page.count(flamegraph.BEGIN) == page.count(flamegraph.END) == 1
