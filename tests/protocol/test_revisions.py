"""The table of revisions and how a server's documents place it."""

from interop.protocol.revisions import REVISIONS, revision_of


def test_names_sort_by_age() -> None:
    """The table is in order and names each revision once."""
    names = [revision.name for revision in REVISIONS]
    assert names == sorted(set(names))


def test_documents_place_a_server() -> None:
    """Each document that a revision brought proves it."""
    paths = {"paths": {"/mcp": {}, "/list_environments": {}}}
    assert revision_of({"reset_observation": {}}, paths).name == "P7"
    assert revision_of({"action": {}}, paths).name == "P4"
    assert revision_of({"action": {}}, {"paths": {"/mcp": {}}}).name == "P3"
    assert revision_of({"action": {}}, {"paths": {}}).name == "P1"
    assert revision_of(None, None).name == "P0"
