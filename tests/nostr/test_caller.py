"""Which extension calls: by module and file, in both ways LNbits imports them."""

import pytest

from nostrclient.nostr.caller import calling_extension, extension_of


@pytest.mark.parametrize(
    ("module", "path", "extension"),
    [
        ("lnbits.extensions.bunker.tasks", "/x/extensions/bunker/tasks.py", "bunker"),
        ("bunker.tasks", "/data/extensions/bunker/tasks.py", "bunker"),
        ("bunker", "/data/extensions/bunker/__init__.py", "bunker"),
        ("bunker.a.b", "/extensions/x/extensions/bunker/a/b.py", "bunker"),
        ("nostrclient.tasks", "/data/extensions/nostrclient/tasks.py", None),
        ("IPython.extensions.store", "/lib/IPython/extensions/store.py", None),
        ("x509.extensions", "/lib/x509/extensions.py", None),
        ("other.sub.part", "/lib/other/extensions/sub/part.py", None),
        ("lnbits.core.services", "/lib/lnbits/core/services.py", None),
        ("__main__", "", None),
    ],
)
def test_h9_an_extension_is_known_by_its_module_and_file(
    module: str, path: str, extension: str | None
) -> None:
    assert extension_of(module, path) == extension


def test_h9_code_of_no_extension_calls_for_nobody() -> None:
    assert calling_extension() is None


def test_h9_an_extension_is_found_behind_its_callers() -> None:
    code = compile("found = call()", "/data/extensions/bunker/tasks.py", "exec")
    names = {"__name__": "bunker.tasks", "call": calling_extension}
    exec(code, names)  # noqa: S102  # code with the name of another extension's file
    assert names["found"] == "bunker"
