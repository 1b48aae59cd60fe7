from tools.faults.same import CIRCUMSTANCES, ROOT


def test_the_text_of_each_edit_occurs_once_in_its_file():
    edits = [(file, *texts) for one in CIRCUMSTANCES.values() for file, texts in one.edits.items()]
    assert len(edits) == 2
    for file, text, other in edits:
        assert (ROOT / file).read_text("utf-8").count(text) == 1
        assert other != text
