"""The conversion of the suite, on small made-up inputs."""

from __future__ import annotations

import pytest

from conformance.suite import convert, sdists
from conformance.suite.patches import PATCHES, Patch


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('   print "case %s" % x', '   print("case %s" % x)'),
        ("print", "print()"),
        ("if not self.agents.has_key(agent):", "if not (agent in self.agents):"),
        ("for i in xrange(3):", "for i in range(3):"),
        ("x = unichr(7)", "x = chr(7)"),
        ("except Exception, e:", "except Exception as e:"),
        ("from case import Case", "from .case import Case"),
        ("from caseset import CaseSet", "from .caseset import CaseSet"),
        ("from casework.x import y", "from casework.x import y"),
        ("a.tostring()", "a.tobytes()"),
        ("(object, Case, ),", "(Case,),"),
        ("import os, pkg_resources", "import os"),
        ("x.replace('.', '\\.')", "x.replace('.', '\\\\.')"),
        ("from autobahn.util import utcnow", "from autobahn.util import utcnow"),
        ("fingerprint = 1", "fingerprint = 1"),
    ],
)
def test_syntax(old, new):
    assert convert.rewrite_syntax(old) == new


def test_the_border_is_imported_before_the_first_statement():
    old = (
        "# licence\n\n__all__ = ()\nx = binascii.b2a_hex(y)\n"
        'z = pkg_resources.resource_filename(\n   "autobahntestsuite", "f")\n'
    )
    new = convert.rewrite_syntax(old, levels_up=2)
    assert new.startswith("# licence\n\nfrom .. import _py3\n__all__ = ()\n")
    assert '_py3.b2a_hex(y)\nz = _py3.resource_filename("f")' in new


def test_a_patch_must_match_as_often_as_it_says():
    patches = [Patch("a.py", "x", "y", 2), Patch("b.py", "never", "there")]
    assert convert.apply("a.py", "x x", patches) == "y y"
    for source in ("x", "x x x", ""):
        with pytest.raises(
            convert.ConversionError, match=r"a\.py: 'x' stands \d times, expected 2"
        ):
            convert.apply("a.py", source, patches)


def test_octets_in_literals_stay_octets():
    source = 'x = "κ"\n'.encode()  # two octets, as Python 2 had them
    new = convert.convert_file("autobahntestsuite/case/case6_2_1.py", source, [])
    space: dict[str, str] = {}
    exec(new.decode("utf-8"), space)
    assert space["x"] == "\xce\xba"
    library = convert.convert_file("autobahn/util.py", source, [])
    assert library == source


def test_only_the_styles_of_the_report_are_kept():
    source = b'import jinja2\nCSS = "a"\nREPORT_DIR_PERMISSIONS = 0770\n'
    assert convert.convert_file("autobahntestsuite/report.py", source, []) == b'CSS = "a"'


def test_other_files_are_left_as_they_are():
    data = b"print 1\r\n\xff"
    assert convert.convert_file("autobahntestsuite/testdata/data1.json", data, []) is data


def test_what_does_not_compile_is_an_error():
    with pytest.raises(convert.ConversionError, match=r"autobahn/x\.py: "):
        convert.convert_file("autobahn/x.py", b"print 1", [])


def test_a_file_that_is_patched_must_be_there():
    with pytest.raises(convert.ConversionError, match="not in the archive"):
        convert.convert({})


def test_the_tree_has_the_program_and_the_border(monkeypatch):
    monkeypatch.setattr(convert, "PATCHES", ())
    tree = convert.convert({"autobahntestsuite/case/case1_1_1.py": b"print 1\r\n"})
    assert tree["autobahntestsuite/case/case1_1_1.py"] == b"print(1)\n"
    assert set(tree) >= {
        "autobahntestsuite/__init__.py",
        "autobahntestsuite/_py3.py",
        convert.WSTEST,
    }


def test_every_patch_is_for_a_file_that_is_kept():
    for patch in PATCHES:
        assert any(sdist.keep.fullmatch(patch.file) for sdist in sdists.SDISTS), patch.file
        assert patch.old != patch.new
